// Stores rows through clickhouse-go over HTTP with each of its compressions, reads them, and asks for what is not there.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/ClickHouse/clickhouse-go/v2"
)

const rows = 2500

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	for _, method := range []clickhouse.CompressionMethod{
		clickhouse.CompressionNone, clickhouse.CompressionLZ4, clickhouse.CompressionGZIP,
	} {
		db := clickhouse.OpenDB(&clickhouse.Options{
			Addr:        []string{os.Args[1]},
			Auth:        clickhouse.Auth{Database: "default", Username: "default", Password: os.Getenv("CLICKHOUSE_PASSWORD")},
			Protocol:    clickhouse.HTTP,
			Compression: &clickhouse.Compression{Method: method},
		})
		_, err := db.Exec("CREATE OR REPLACE TABLE client_go (a UInt64, s String, m Map(String, String)) ENGINE = MergeTree ORDER BY a")
		must(err)
		transaction, err := db.Begin()
		must(err)
		batch, err := transaction.Prepare("INSERT INTO client_go (a, s, m)")
		must(err)
		for number := range rows {
			text := fmt.Sprint("row ", number)
			_, err = batch.Exec(uint64(number), text, map[string]string{"k": text})
			must(err)
		}
		must(transaction.Commit())
		var count, sum, distinct uint64
		stored := db.QueryRow("SELECT count(), sum(a), uniqExact(m['k']) FROM client_go WHERE a >= ?", 0)
		must(stored.Scan(&count, &sum, &distinct))
		found, err := db.Query("SELECT a, s FROM client_go")
		must(err)
		read := 0
		for found.Next() {
			read++
		}
		must(found.Err())
		_, err = db.Query("SELECT nothing FROM client_go")
		var refused *clickhouse.Exception
		if !errors.As(err, &refused) {
			must(fmt.Errorf("not refused with ClickHouse's error: %w", err))
		}
		fmt.Println(count, sum, distinct, read, refused.Code)
		must(db.Close())
	}
}
