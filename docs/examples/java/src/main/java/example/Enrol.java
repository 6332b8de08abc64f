package example;

import com.fasterxml.jackson.databind.JsonNode;
import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.List;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;

/** Enrols a custody photograph, and prints what became of it: photograph imageId subjectId [face]. */
public final class Enrol {
  private static final String IMAGES = "custody.images.v1";
  private static final String OUTCOMES = "custody.outcomes.v1";
  private static final Duration OUTCOME_WITHIN = Duration.ofMinutes(2);

  private Enrol() {}

  public static void main(String[] args) throws Exception {
    String imageId = args[1];
    CloudEventBuilder image =
        CloudEventBuilder.v1()
            .withId(UUID.randomUUID().toString())
            .withType("custody.image.v1")
            .withSource(URI.create("/example-custody-system"))
            .withSubject(imageId)
            .withTime(OffsetDateTime.now(ZoneOffset.UTC))
            .withExtension("subjectid", args[2])
            .withData("image/jpeg", Files.readAllBytes(Path.of(args[0])));
    if (args.length > 3) image.withExtension("face", args[3]);

    try (KafkaConsumer<String, CloudEvent> outcomes = Clients.consumer();
        KafkaProducer<String, CloudEvent> producer = Clients.producer()) {
      List<TopicPartition> partitions =
          outcomes.partitionsFor(OUTCOMES).stream().map(p -> new TopicPartition(OUTCOMES, p.partition())).toList();
      outcomes.assign(partitions);
      outcomes.seekToEnd(partitions);
      // Seeking is lazy: asking for the position makes it now, before anything is sent.
      partitions.forEach(outcomes::position);

      RecordMetadata placed = producer.send(new ProducerRecord<>(IMAGES, imageId, image.build())).get();
      JsonNode outcome = outcomeOf(outcomes, placed);
      System.out.println(outcome);
      System.exit(outcome.path("outcome").asText().equals("enrolled") ? 0 : 1);
    }
  }

  /** Each record on custody.images has exactly one outcome, which names its partition and offset. */
  private static JsonNode outcomeOf(KafkaConsumer<String, CloudEvent> outcomes, RecordMetadata placed)
      throws Exception {
    Instant deadline = Instant.now().plus(OUTCOME_WITHIN);
    while (Instant.now().isBefore(deadline)) {
      for (ConsumerRecord<String, CloudEvent> record : outcomes.poll(Duration.ofSeconds(1))) {
        // Types that are added later are none of ours.
        if (!record.value().getType().equals("custody.outcome.v1")) continue;
        JsonNode outcome = Clients.json(record.value());
        JsonNode source = outcome.get("source");
        if (source.get("partition").asInt() == placed.partition() && source.get("offset").asLong() == placed.offset()) {
          return outcome;
        }
      }
    }
    throw new IllegalStateException("no outcome of " + placed);
  }
}
