"""Enrols a custody photograph, and prints what became of it."""

import argparse
import json
import mimetypes
import sys
import uuid
from datetime import datetime, timezone

from custody_kafka import IMAGES, CloudEvent, open_outcomes, open_producer, outcome_of, send

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("photograph")
parser.add_argument("--image-id", required=True)
parser.add_argument("--subject-id", required=True)
parser.add_argument("--force")
parser.add_argument("--face", help="an index, largest or central: needed where the photograph shows several people")
parser.add_argument("--partitioner", default="murmur2_random", help="to see what another one leads to")
options = parser.parse_args()

with open(options.photograph, "rb") as file:
    photograph = file.read()

extensions = {"subjectid": options.subject_id, "force": options.force, "face": options.face}
event = CloudEvent(
    {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "type": "custody.image.v1",
        "source": "/example-custody-system",
        "subject": options.image_id,
        "time": datetime.now(timezone.utc),
        "datacontenttype": mimetypes.guess_type(options.photograph)[0] or "image/jpeg",
        **{name: value for name, value in extensions.items() if value is not None},
    },
    photograph,
)

outcomes = open_outcomes()
placed = send(open_producer(options.partitioner), IMAGES, options.image_id, event)
outcome = outcome_of(outcomes, placed)
print(json.dumps(outcome))
sys.exit(0 if outcome["outcome"] == "enrolled" else 1)
