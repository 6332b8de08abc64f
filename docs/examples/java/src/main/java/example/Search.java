package example;

import com.fasterxml.jackson.databind.JsonNode;
import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/** Asks for a retrospective search, and prints its events until there is something to review: probe operator keyFile. */
public final class Search {
  private static final String REQUESTS = "searches.requests.v1";
  private static final String EVENTS = "searches.events.v1";
  private static final String EVENT_TYPE = "searches.event.v1.";
  private static final Duration ANSWER_WITHIN = Duration.ofMinutes(2);
  /** What a search comes to without a person. */
  private static final Set<String> ANSWERS =
      Set.of("CANDIDATES_FOUND", "NO_CANDIDATES_FOUND", "SEARCH_PARTIAL", "SEARCH_FAILED", "FACE_CHOICE_NEEDED",
          "REQUEST_REFUSED");

  private Search() {}

  public static void main(String[] args) throws Exception {
    byte[] probe = Files.readAllBytes(Path.of(args[0]));
    String operator = args[1];
    String searchId = UUID.randomUUID().toString();
    String request =
        Clients.mapper()
            .writeValueAsString(
                Map.of(
                    "crimeReference", "CR/2026/0815",
                    "offence", "robbery",
                    "source", "cctv",
                    "justification", "Still from the camera above the till at the time of the robbery",
                    "investigatingOfficer", "pc-2000"));
    String assertion =
        Assertion.sign(
            Path.of(args[2]),
            operator,
            Map.of(
                "purpose", "retrospective-search",
                "role", "operator",
                "searchId", searchId,
                "probeSha256", HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(probe))));
    CloudEvent event =
        CloudEventBuilder.v1()
            .withId(UUID.randomUUID().toString())
            .withType("searches.request.v1")
            .withSource(URI.create("/example-case-system"))
            .withSubject(searchId)
            .withTime(OffsetDateTime.now(ZoneOffset.UTC))
            .withExtension("request", request)
            .withData("image/jpeg", probe)
            .build();
    ProducerRecord<String, CloudEvent> record = new ProducerRecord<>(REQUESTS, searchId, event);
    record.headers().add("assertion", assertion.getBytes(StandardCharsets.US_ASCII));

    try (KafkaConsumer<String, CloudEvent> events = Clients.consumer();
        KafkaProducer<String, CloudEvent> producer = Clients.producer()) {
      List<TopicPartition> partitions =
          events.partitionsFor(EVENTS).stream().map(p -> new TopicPartition(EVENTS, p.partition())).toList();
      events.assign(partitions);
      events.seekToEnd(partitions);
      // Seeking is lazy: asking for the position makes it now, before anything is sent.
      partitions.forEach(events::position);

      producer.send(record).get();
      String answer = printUntilAnswered(events, searchId);
      System.exit(answer.equals("CANDIDATES_FOUND") || answer.equals("NO_CANDIDATES_FOUND") ? 0 : 1);
    }
  }

  private static String printUntilAnswered(KafkaConsumer<String, CloudEvent> events, String searchId)
      throws Exception {
    Instant deadline = Instant.now().plus(ANSWER_WITHIN);
    while (Instant.now().isBefore(deadline)) {
      for (ConsumerRecord<String, CloudEvent> record : events.poll(Duration.ofSeconds(1))) {
        String type = record.value().getType();
        // A null ends an event's retention: whoever keeps events deletes the one of this key. And other searches.
        if (!type.startsWith(EVENT_TYPE) || !searchId.equals(record.value().getSubject())) continue;
        JsonNode happened = Clients.json(record.value());
        System.out.println(happened);
        String name = happened.get("type").asText();
        if (ANSWERS.contains(name)) return name;
      }
    }
    throw new IllegalStateException("no answer to " + searchId);
  }
}
