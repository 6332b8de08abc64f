/**
 * A marker: a record that says nothing, on a topic that is compacted. A segment is closed only when something is written
 * behind it, and only a closed one is compacted; and what is before a marker is known to be compacted when the marker
 * itself is gone. Its key has a blank, so that it is no image's; every reader of such a topic passes it by.
 */
import { cloudEventHeaders, type Headers } from './cloud-events.js';
import type { OutgoingRecord } from './outgoing-record.js';

export const LOG_MARKER_TYPE = 'custody.log-marker.v1';
export const LOG_MARKER_KEY = 'log marker';

export function logMarker(topic: string, partition: number, source: string): OutgoingRecord {
  const headers = cloudEventHeaders({ type: LOG_MARKER_TYPE, source, subject: LOG_MARKER_KEY });
  return { topic, partition, key: LOG_MARKER_KEY, value: null, headers };
}

export function isLogMarker(headers: Headers): boolean {
  return headers['ce_type'] === LOG_MARKER_TYPE;
}
