import kafkajs from 'kafkajs';

/** Sets all settings of a topic, also to what no service would: for tests of a broker that refuses, and of what is found. */
export async function setTopicSettings(
  brokers: string,
  topic: string,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const admin = new kafkajs.Kafka({ brokers: [brokers], logLevel: kafkajs.logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }));
    const resources = [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic, configEntries }];
    await admin.alterConfigs({ validateOnly: false, resources });
  } finally {
    await admin.disconnect();
  }
}
