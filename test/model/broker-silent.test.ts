/** Harder than a broker that is gone: nothing is refused, and nothing is answered. */
import { describeBrokerAway } from './broker-away.js';

describeBrokerAway('silent');
