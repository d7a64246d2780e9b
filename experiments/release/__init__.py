"""Models and results as they are published.

pretrain, cards    the models that ship, and the card of each
page, pictures     `experiments/README.md`, the page of all results; pictures of them
"""
