/** As an operating-system kill takes it away; test/model has it silent. */
import { describeBrokerAway } from '../model/broker-away.js';

describeBrokerAway('killed');
