package example;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.cloudevents.CloudEvent;
import io.cloudevents.kafka.CloudEventDeserializer;
import io.cloudevents.kafka.CloudEventSerializer;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** What the examples share: clients of the brokers in KAFKA_BROKERS that speak CloudEvents in binary mode. */
final class Clients {
  private static final int MESSAGE_SIZE_BYTES_MAX = 9_000_000;
  private static final ObjectMapper JSON = new ObjectMapper();

  private Clients() {}

  /** The default partitioner hashes the key with murmur2, as it must be: set no other. */
  static KafkaProducer<String, CloudEvent> producer() throws IOException {
    Properties settings = settings();
    settings.put(ProducerConfig.MAX_REQUEST_SIZE_CONFIG, MESSAGE_SIZE_BYTES_MAX);
    return new KafkaProducer<>(settings, new StringSerializer(), new CloudEventSerializer());
  }

  /** Reads what it is assigned, from where it is told. A system that must miss nothing uses a group and commits. */
  static KafkaConsumer<String, CloudEvent> consumer() throws IOException {
    Properties settings = settings();
    settings.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false);
    return new KafkaConsumer<>(settings, new StringDeserializer(), new CloudEventDeserializer());
  }

  static JsonNode json(CloudEvent event) throws IOException {
    return JSON.readTree(event.getData().toBytes());
  }

  static ObjectMapper mapper() {
    return JSON;
  }

  /** For a secured cluster KAFKA_CLIENT_CONFIG names a file of properties. */
  private static Properties settings() throws IOException {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", System.getenv().getOrDefault("KAFKA_BROKERS", "127.0.0.1:9092"));
    String file = System.getenv("KAFKA_CLIENT_CONFIG");
    if (file != null) {
      try (InputStream in = new FileInputStream(file)) {
        settings.load(in);
      }
    }
    return settings;
  }
}
