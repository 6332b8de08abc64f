package example;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.spec.EdECPrivateKeySpec;
import java.security.spec.NamedParameterSpec;
import java.time.Instant;
import java.util.Base64;
import java.util.Map;
import java.util.TreeMap;

/** A compact JWS in the name of the system whose key this is: good for one thing, for five minutes. */
final class Assertion {
  private static final Base64.Encoder BASE64URL = Base64.getUrlEncoder().withoutPadding();

  private Assertion() {}

  /** @param keyFile a private JWK: kty OKP, crv Ed25519, with the system's name as its kid */
  static String sign(Path keyFile, String person, Map<String, String> claims) throws Exception {
    JsonNode jwk = Clients.mapper().readTree(keyFile.toFile());
    String system = jwk.get("kid").asText();
    Map<String, Object> all = new TreeMap<>(claims);
    all.put("iss", system);
    all.put("sub", person);
    all.put("iat", Instant.now().getEpochSecond());
    String signed = encoded(Map.of("alg", "EdDSA", "kid", system)) + "." + encoded(all);

    byte[] secret = Base64.getUrlDecoder().decode(jwk.get("d").asText());
    PrivateKey key =
        KeyFactory.getInstance("EdDSA").generatePrivate(new EdECPrivateKeySpec(NamedParameterSpec.ED25519, secret));
    Signature signature = Signature.getInstance("Ed25519");
    signature.initSign(key);
    signature.update(signed.getBytes(StandardCharsets.US_ASCII));
    return signed + "." + BASE64URL.encodeToString(signature.sign());
  }

  private static String encoded(Map<String, ?> json) throws Exception {
    return BASE64URL.encodeToString(Clients.mapper().writeValueAsBytes(json));
  }
}
