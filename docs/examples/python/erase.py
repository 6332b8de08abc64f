"""Has everything of an image erased, in the name of the system whose key signs it, and prints what became of it."""

import argparse
import json
import sys
import uuid
from datetime import datetime, timezone

from custody_kafka import IMAGES, CloudEvent, open_outcomes, open_producer, outcome_of, send, signed

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--image-id", required=True)
parser.add_argument("--authority", required=True, help="what demands it, for example DPA 2018 s.47")
parser.add_argument("--reason", required=True)
parser.add_argument("--on-behalf-of", required=True, help="the person who has decided it")
parser.add_argument("--key", required=True, help="the system's private key, a JWK with kid")
options = parser.parse_args()

assertion = signed(
    options.key,
    options.on_behalf_of,
    {
        "purpose": "erasure",
        "role": "data-protection",
        "imageId": options.image_id,
        "authority": options.authority,
        "reason": options.reason,
    },
)
event = CloudEvent(
    {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "type": "custody.erasure.v1",
        "source": "/example-custody-system",
        "subject": options.image_id,
        "time": datetime.now(timezone.utc),
    },
    None,
)

outcomes = open_outcomes()
outcome = outcome_of(outcomes, send(open_producer(), IMAGES, options.image_id, event, assertion))
print(json.dumps(outcome))
# `restricted`: a hold forbids to erase it, and it is kept out of searches instead.
sys.exit(0 if outcome["outcome"] in ("erased", "restricted") else 1)
