// Contenders for one lock of etcd, each with a connection and a lease of its own:
// contenders HOST:PORT PATH CONTENDERS SECONDS. Speaks as crates/recipes/examples/contenders.rs
// does, which see.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// A session is alive for as long as its lease, in seconds, and its process.
const leaseSeconds = 30

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func open(server string) *concurrency.Session {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{server}, DialTimeout: time.Minute})
	check(err)
	session, err := concurrency.NewSession(client, concurrency.WithTTL(leaseSeconds))
	check(err)
	return session
}

// takeTurns returns how long each acquisition took.
func takeTurns(session *concurrency.Session, path string, end time.Time) (waits []time.Duration) {
	ctx := context.Background()
	for time.Now().Before(end) {
		lock := concurrency.NewMutex(session, path)
		asked := time.Now()
		check(lock.Lock(ctx))
		waits = append(waits, time.Since(asked))
		check(lock.Unlock(ctx))
	}
	return waits
}

func percentileMs(sorted []time.Duration, percent int) float64 {
	return float64(sorted[(len(sorted)-1)*percent/100].Nanoseconds()) / 1e6
}

func main() {
	server, path := os.Args[1], os.Args[2]
	contenders, err := strconv.Atoi(os.Args[3])
	check(err)
	seconds, err := strconv.ParseFloat(os.Args[4], 64)
	check(err)
	sessions := make([]*concurrency.Session, contenders)
	for i := range sessions {
		sessions[i] = open(server)
	}
	input := bufio.NewReader(os.Stdin)
	fmt.Println("READY")
	_, err = input.ReadString('\n')
	check(err)
	began := time.Now()
	end := began.Add(time.Duration(seconds * float64(time.Second)))
	var mutex sync.Mutex
	var group sync.WaitGroup
	var waits []time.Duration
	for _, session := range sessions {
		group.Go(func() {
			own := takeTurns(session, path, end)
			mutex.Lock()
			defer mutex.Unlock()
			waits = append(waits, own...)
		})
	}
	group.Wait()
	rate := float64(len(waits)) / time.Since(began).Seconds()
	slices.Sort(waits)
	fmt.Printf("%d %.1f %.2f %.2f\n", len(waits), rate, percentileMs(waits, 50), percentileMs(waits, 99))
	_, _ = input.ReadString('\n')
	for _, session := range sessions {
		_ = session.Close()
	}
}
