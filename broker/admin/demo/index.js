// The front page has nothing to do but to speak the reader's language.

import { speak } from "./words.js";

speak();
