/** Who says it: `ce_source` of every record that this service writes. */
export const QUERY_SOURCE = '/custody-face-search/query';
