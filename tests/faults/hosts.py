"""A host that trains, alone or one of several: `python hosts.py JSON`, {"arguments": ..., "join": [...] or null}."""

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import jax

    from vaelab import training
    from vaelab.config import Config
    from vaelab.models import devices

    told = json.loads(sys.argv[1])
    if told["join"]:
        devices.join(*told["join"])
    arguments = told["arguments"]
    config = Config.from_dict(arguments.pop("config"))
    seen = []
    training.train(config=config, progress=False, on_evaluation=seen.append, **arguments)
    losses = [[metrics["train_loss"], metrics["loss"]] for metrics in seen[-1].history] if seen else None
    print(json.dumps({"devices": jax.device_count(), "hosts": jax.process_count(), "losses": losses}))
