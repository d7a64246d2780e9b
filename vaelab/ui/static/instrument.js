// The instrument as a widget.

import { InstrumentView } from "./instrument_view.js";
import { sounding } from "./sounding.js";

export default sounding(InstrumentView);
