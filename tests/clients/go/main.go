// go-zookeeper against a server: `client HOST:PORT[,HOST:PORT…]`.
//
// Prints one line per passed check and PASSED at the end. Prints RESTART 0x<session> when it wants the server
// of that session killed and started again, and waits for RESTARTED on its standard input. With OSTLER_TLS=FOLDER
// it speaks TLS, with the certificates of that folder (ca.pem, client.crt, client.key).
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

const wait = 20 * time.Second

var (
	server string
	secure *tls.Config // nil without TLS
	open   = zk.WorldACL(zk.PermAll)
)

type quiet struct{}

func (quiet) Printf(string, ...interface{}) {}

func require(holds bool, format string, values ...interface{}) {
	if !holds {
		panic(fmt.Sprintf(format, values...))
	}
}

func succeeds(err error) {
	require(err == nil, "unexpected error: %v", err)
}

func refuses(expected, err error) {
	require(errors.Is(err, expected), "expected %v, got %v", expected, err)
}

// Waits until the session is there again. The channel of events is short and drops what nobody takes in time, as while the server was
// started again, so it is the state itself that is asked.
func settle(c *zk.Conn) {
	for end := time.Now().Add(wait); c.State() != zk.StateHasSession; time.Sleep(10 * time.Millisecond) {
		require(time.Now().Before(end), "the session never got back to StateHasSession")
	}
}

// The client's own part of TLS: it leaves that to its dialer.
func dial(network, address string, timeout time.Duration) (net.Conn, error) {
	if secure == nil {
		return net.DialTimeout(network, address, timeout)
	}
	return tls.DialWithDialer(&net.Dialer{Timeout: timeout}, network, address, secure)
}

func certificates(folder string) *tls.Config {
	own, err := tls.LoadX509KeyPair(filepath.Join(folder, "client.crt"), filepath.Join(folder, "client.key"))
	succeeds(err)
	text, err := os.ReadFile(filepath.Join(folder, "ca.pem"))
	succeeds(err)
	trusted := x509.NewCertPool()
	require(trusted.AppendCertsFromPEM(text), "ca.pem has no certificate")
	return &tls.Config{Certificates: []tls.Certificate{own}, RootCAs: trusted}
}

func connect() (*zk.Conn, <-chan zk.Event) {
	conn, events, err := zk.Connect(strings.Split(server, ","), 10*time.Second, zk.WithLogger(quiet{}), zk.WithDialer(dial))
	succeeds(err)
	await(events, zk.StateHasSession)
	return conn, events
}

// await skips the session's events up to the one that tells of the state.
func await(events <-chan zk.Event, state zk.State) {
	deadline := time.After(wait)
	for {
		select {
		case event := <-events:
			if event.Type == zk.EventSession && event.State == state {
				return
			}
		case <-deadline:
			panic(fmt.Sprintf("the session never got to %v", state))
		}
	}
}

func expect(events <-chan zk.Event, kind zk.EventType, path string) {
	select {
	case event := <-events:
		require(event.Type == kind && event.Path == path, "expected %v of %s, got %+v", kind, path, event)
	case <-time.After(wait):
		panic(fmt.Sprintf("no %v of %s", kind, path))
	}
}

func create(c *zk.Conn, path string, data string, flags int32) string {
	created, err := c.Create(path, []byte(data), flags, open)
	succeeds(err)
	return created
}

func crud(c *zk.Conn) {
	require(create(c, "/go", "one", 0) == "/go", "the path comes back")
	_, err := c.Create("/go", nil, 0, open)
	refuses(zk.ErrNodeExists, err)
	data, stat, err := c.Get("/go")
	succeeds(err)
	require(string(data) == "one" && stat.Version == 0 && stat.DataLength == 3, "%s %+v", data, stat)
	stat, err = c.Set("/go", []byte("two"), 0)
	succeeds(err)
	require(stat.Version == 1, "%+v", stat)
	_, err = c.Set("/go", nil, 0)
	refuses(zk.ErrBadVersion, err)
	create(c, "/go/child", "", 0)
	children, stat, err := c.Children("/go")
	succeeds(err)
	require(len(children) == 1 && children[0] == "child" && stat.NumChildren == 1, "%v %+v", children, stat)
	refuses(zk.ErrNotEmpty, c.Delete("/go", -1))
	succeeds(c.Delete("/go/child", 0))
	exists, _, err := c.Exists("/go/child")
	succeeds(err)
	require(!exists, "a deleted node exists")
	refuses(zk.ErrNoNode, c.Delete("/go/child", -1))
	_, err = c.Sync("/go")
	succeeds(err)
}

func kinds(c *zk.Conn) {
	create(c, "/go/seq", "", 0)
	for number := 0; number < 3; number++ {
		path := create(c, "/go/seq/n-", "", zk.FlagSequence)
		require(path == fmt.Sprintf("/go/seq/n-%010d", number), "%s", path)
	}
	path := create(c, "/go/seq/e-", "", zk.FlagSequence|zk.FlagEphemeral)
	require(path == "/go/seq/e-0000000003", "%s", path)
	path, err := c.CreateContainer("/go/container", nil, zk.FlagContainer, open)
	succeeds(err)
	require(path == "/go/container", "%s", path)
	path, err = c.CreateTTL("/go/ttl", nil, zk.FlagTTL, open, time.Hour)
	succeeds(err)
	require(path == "/go/ttl", "%s", path)
	path, err = c.CreateProtectedEphemeralSequential("/go/seq/p-", nil, open)
	succeeds(err)
	require(strings.HasSuffix(path, "0000000004"), "%s", path)
}

func ephemerals(c *zk.Conn) {
	other, _ := connect()
	create(other, "/go/ephemeral", "", zk.FlagEphemeral)
	_, err := other.Create("/go/ephemeral/child", nil, 0, open)
	refuses(zk.ErrNoChildrenForEphemerals, err)
	exists, stat, gone, err := c.ExistsW("/go/ephemeral")
	succeeds(err)
	require(exists && stat.EphemeralOwner == other.SessionID(), "%+v", stat)
	other.Close()
	expect(gone, zk.EventNodeDeleted, "/go/ephemeral")
}

func watches(c *zk.Conn) {
	_, _, created, err := c.ExistsW("/go/watched")
	succeeds(err)
	create(c, "/go/watched", "", 0)
	expect(created, zk.EventNodeCreated, "/go/watched")
	_, _, changed, err := c.GetW("/go/watched")
	succeeds(err)
	_, err = c.Set("/go/watched", []byte("x"), -1)
	succeeds(err)
	expect(changed, zk.EventNodeDataChanged, "/go/watched")
	_, _, children, err := c.ChildrenW("/go/watched")
	succeeds(err)
	create(c, "/go/watched/child", "", 0)
	expect(children, zk.EventNodeChildrenChanged, "/go/watched")
	_, _, deleted, err := c.GetW("/go/watched/child")
	succeeds(err)
	succeeds(c.Delete("/go/watched/child", -1))
	expect(deleted, zk.EventNodeDeleted, "/go/watched/child")
}

func acls(c *zk.Conn) {
	hers := zk.DigestACL(zk.PermAll, "ann", "secret")
	_, err := c.Create("/go/private", []byte("hers"), 0, hers)
	succeeds(err)
	_, _, err = c.Get("/go/private")
	refuses(zk.ErrNoAuth, err)
	_, err = c.Create("/go/none", nil, 0, []zk.ACL{{Perms: zk.PermAll, Scheme: "nonesuch", ID: "x"}})
	refuses(zk.ErrInvalidACL, err)
	ann, _ := connect()
	defer ann.Close()
	succeeds(ann.AddAuth("digest", []byte("ann:secret")))
	data, _, err := ann.Get("/go/private")
	succeeds(err)
	require(string(data) == "hers", "%s", data)
	acl, stat, err := ann.GetACL("/go/private")
	succeeds(err)
	require(len(acl) == 1 && acl[0] == hers[0] && stat.Aversion == 0, "%v %+v", acl, stat)
	stat, err = ann.SetACL("/go/private", open, 0)
	succeeds(err)
	require(stat.Aversion == 1, "%+v", stat)
	_, _, err = c.Get("/go/private")
	succeeds(err)
}

func multi(c *zk.Conn) {
	create(c, "/go/multi", "", 0)
	results, err := c.Multi(
		&zk.CheckVersionRequest{Path: "/go/multi", Version: 0},
		&zk.CreateRequest{Path: "/go/multi/a", Acl: open},
		&zk.SetDataRequest{Path: "/go/multi", Data: []byte("x"), Version: 0},
		&zk.DeleteRequest{Path: "/go/multi/a", Version: -1},
	)
	succeeds(err)
	require(len(results) == 4 && results[1].String == "/go/multi/a" && results[2].Stat.Version == 1, "%+v", results)
	results, err = c.Multi(
		&zk.CreateRequest{Path: "/go/multi/b", Acl: open},
		&zk.CheckVersionRequest{Path: "/go/multi", Version: 7},
	)
	refuses(zk.ErrBadVersion, err)
	refuses(zk.ErrBadVersion, results[1].Error)
	exists, _, err := c.Exists("/go/multi/b")
	succeeds(err)
	require(!exists, "half of a multi happened")
}

func locks(*zk.Conn) {
	var group sync.WaitGroup
	inside, rounds := make(chan struct{}, 1), make(chan struct{}, 100)
	for worker := 0; worker < 3; worker++ {
		c, _ := connect()
		group.Add(1)
		go func() {
			defer group.Done()
			defer c.Close()
			lock := zk.NewLock(c, "/go/lock", open)
			for round := 0; round < 5; round++ {
				succeeds(lock.Lock())
				select {
				case inside <- struct{}{}:
				default:
					panic("two hold the lock")
				}
				time.Sleep(5 * time.Millisecond)
				<-inside
				rounds <- struct{}{}
				succeeds(lock.Unlock())
			}
		}()
	}
	group.Wait()
	require(len(rounds) == 15, "%d rounds", len(rounds))
}

func fourLetterWords(*zk.Conn) {
	require(zk.FLWRuok(strings.Split(server, ","), wait)[0], "ruok")
	// Its FLWSrvr and FLWCons do not understand what ZooKeeper 3.9 writes.
}

// The session, its ephemerals and its watches outlive the server's process.
func restart(*zk.Conn) {
	c, session := connect()
	id := c.SessionID()
	create(c, "/go/survivor", "", zk.FlagEphemeral)
	create(c, "/go/after", "before", 0)
	_, _, changed, err := c.GetW("/go/after")
	succeeds(err)
	_, _, children, err := c.ChildrenW("/go/after")
	succeeds(err)
	_, _, created, err := c.ExistsW("/go/later")
	succeeds(err)
	fmt.Printf("RESTART %#x\n", id)
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	succeeds(err)
	require(line == "RESTARTED\n", "%q", line)
	await(session, zk.StateDisconnected)
	settle(c)
	require(c.SessionID() == id, "another session after the restart")
	_, stat, err := c.Get("/go/survivor")
	succeeds(err)
	require(stat.EphemeralOwner == id, "%+v", stat)
	other, _ := connect()
	defer other.Close()
	_, err = other.Set("/go/after", []byte("after"), 0)
	succeeds(err)
	expect(changed, zk.EventNodeDataChanged, "/go/after")
	create(other, "/go/after/child", "", 0)
	expect(children, zk.EventNodeChildrenChanged, "/go/after")
	create(other, "/go/later", "", 0)
	expect(created, zk.EventNodeCreated, "/go/later")
	_, _, gone, err := other.ExistsW("/go/survivor")
	succeeds(err)
	c.Close()
	expect(gone, zk.EventNodeDeleted, "/go/survivor")
}

func large(c *zk.Conn) {
	create(c, "/go/large", strings.Repeat("x", 900_000), 0)
	data, _, err := c.Get("/go/large")
	succeeds(err)
	require(len(data) == 900_000, "%d bytes", len(data))
	create(c, "/go/many", "", 0)
	var group sync.WaitGroup
	for number := 0; number < 500; number++ {
		group.Add(1)
		go func(number int) {
			defer group.Done()
			create(c, fmt.Sprintf("/go/many/%04d", number), "", 0)
		}(number)
	}
	group.Wait()
	children, _, err := c.Children("/go/many")
	succeeds(err)
	sort.Strings(children)
	require(len(children) == 500 && children[499] == "0499", "%d children", len(children))
}

func main() {
	server = os.Args[1]
	if folder := os.Getenv("OSTLER_TLS"); folder != "" {
		secure = certificates(folder)
	}
	c, _ := connect()
	checks := []struct {
		name string
		run  func(*zk.Conn)
	}{
		{"crud", crud}, {"kinds", kinds}, {"ephemerals", ephemerals}, {"watches", watches},
		{"acls", acls}, {"multi", multi}, {"locks", locks},
		{"four letter words", fourLetterWords}, {"large", large}, {"restart", restart},
	}
	for _, check := range checks {
		check.run(c)
		fmt.Println("passed", check.name)
	}
	c.Close()
	fmt.Println("PASSED")
}
