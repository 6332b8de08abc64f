import { clientForTests } from '#testkit/kafka-test-helpers.js';
import { testKafkaPort } from './port.conformance.js';

testKafkaPort('kafkajs', () => clientForTests());
