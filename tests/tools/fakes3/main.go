// An S3 server in memory with one bucket, without passwords: fakes3 HOST:PORT BUCKET.
package main

import (
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// S3 lists times with three digits of a second. gofakes3 leaves out zeros at the end (messages.go), and the client in
// ClickHouse takes such a time for 1970: here, the last digit is never 0.
type clock struct{ gofakes3.TimeSource }

func (clock) Now() time.Time { return time.Now().Truncate(10 * time.Millisecond).Add(time.Millisecond) }

func main() {
	backend := s3mem.New(s3mem.WithTimeSource(clock{gofakes3.DefaultTimeSource()}))
	if err := backend.CreateBucket(os.Args[2]); err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(listener, gofakes3.New(backend).Server()))
}
