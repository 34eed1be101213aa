// Stores rows through @clickhouse/client, compressed and not, reads them as a stream, and asks for what is not there.
import { createClient, ClickHouseLogLevel } from '@clickhouse/client'

const ROWS = 2500
for (const compressed of [false, true]) {
  const client = createClient({
    url: `http://${process.argv[2]}`,
    username: 'default',
    password: process.env.CLICKHOUSE_PASSWORD,
    compression: { request: compressed, response: compressed },
    log: { level: ClickHouseLogLevel.OFF },
  })
  await client.command({ query: 'CREATE OR REPLACE TABLE client_node (a UInt64, s String) ENGINE = MergeTree ORDER BY a' })
  const values = Array.from({ length: ROWS }, (_, a) => ({ a, s: `row ${a}` }))
  await client.insert({ table: 'client_node', values, format: 'JSONEachRow' })
  const stored = await client.query({
    query: 'SELECT count(), sum(a), uniqExact(s) FROM client_node WHERE a >= {first:UInt64}',
    query_params: { first: 0 },
    format: 'JSONCompactEachRow',
  })
  const [[count, sum, distinct]] = await stored.json()
  let read = 0
  const found = await client.query({ query: 'SELECT * FROM client_node', format: 'JSONEachRow' })
  for await (const part of found.stream()) read += part.length
  const refused = await client.query({ query: 'SELECT nothing FROM client_node' }).then(
    () => 'not refused',
    (error) => error.code,
  )
  console.log(count, sum, distinct, read, refused)
  await client.close()
}
