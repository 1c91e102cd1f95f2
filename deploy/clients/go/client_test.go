// Against the servers of ../check.py, which says where they are.
package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	soukv1 "souk.example/client/gen/souk/v1"
)

// Longer than any of this takes on a busy machine.
const patience = time.Minute

func options(t *testing.T, servers string) Options {
	t.Helper()
	address := os.Getenv(servers)
	if address == "" {
		t.Fatalf("%s: not set; run ../check.py", servers)
	}
	return Options{Servers: address, Deadline: patience, Budget: NewBudget(10)}
}

func key(name string) string { return filepath.Join(os.Getenv("SOUK_KEYS"), name) }

func predict(t *testing.T, o Options) error {
	t.Helper()
	conn, err := Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = soukv1.NewMerchantGmvServiceClient(conn).PredictGmv(context.Background(), noodles())
	return err
}

func want(t *testing.T, err error, code codes.Code, words string) {
	t.Helper()
	got := status.Convert(err)
	if got.Code() != code || !strings.Contains(strings.ToLower(got.Message()), words) {
		t.Fatalf("%v, wanted %v with %q", err, code, words)
	}
}

func TestCallsTakeTurnsOverAllServers(t *testing.T) {
	conn, err := Dial(options(t, "SOUK_BOTH"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := soukv1.NewMerchantGmvServiceClient(conn)
	asked := map[string]bool{}
	for until := time.Now().Add(patience); len(asked) < 2; {
		if time.Now().After(until) {
			t.Fatalf("only %v were asked", asked)
		}
		var server peer.Peer
		reply, err := client.PredictGmv(context.Background(), noodles(), grpc.Peer(&server))
		if err != nil {
			t.Fatal(err)
		}
		if forecast := reply.GetResults()[0].GetForecast(); forecast.GetExpectedGmv() <= 0 {
			t.Fatal(reply)
		}
		asked[server.Addr.String()] = true
	}
}

// A server whose queue holds one row, for half a second: of two calls at a time one is refused.
func twoAtATime(t *testing.T, o Options) error {
	t.Helper()
	conn, err := Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := soukv1.NewMerchantGmvServiceClient(conn)
	ended := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := client.PredictGmv(context.Background(), noodles())
			ended <- err
		}()
	}
	first, second := <-ended, <-ended
	if first != nil {
		return first
	}
	return second
}

func TestWhatWasRefusedIsTriedAgainWhenTheServerSaid(t *testing.T) {
	o := options(t, "SOUK_FULL")
	refusals := make(chan struct{}, 100)
	o.OnRetry = func(asked, wait time.Duration) {
		if asked <= 0 || wait < asked {
			t.Errorf("waits %v, was asked for %v", wait, asked)
		}
		refusals <- struct{}{}
	}
	for until := time.Now().Add(patience); len(refusals) == 0; {
		if time.Now().After(until) {
			t.Fatal("nothing was refused")
		}
		want(t, twoAtATime(t, o), codes.OK, "")
	}
}

func TestWithoutABudgetARefusalIsTheCallers(t *testing.T) {
	o := options(t, "SOUK_FULL")
	o.Budget = NewBudget(0)
	var err error
	for until := time.Now().Add(patience); err == nil; {
		if time.Now().After(until) {
			t.Fatal("nothing was refused")
		}
		err = twoAtATime(t, o)
	}
	want(t, err, codes.ResourceExhausted, "overloaded")
}

func TestADeadlineEndsACall(t *testing.T) {
	o := options(t, "SOUK_FULL")
	o.Deadline = 100 * time.Millisecond
	want(t, predict(t, o), codes.DeadlineExceeded, "deadline")
}

func TestTLSWithTheRightRootsIsAnswered(t *testing.T) {
	o := options(t, "SOUK_TLS")
	o.Roots = key("roots.pem")
	want(t, predict(t, o), codes.OK, "")
}

func TestAServerThatOthersSignedIsNotTrusted(t *testing.T) {
	o := options(t, "SOUK_TLS")
	o.Roots = key("others.pem")
	want(t, predict(t, o), codes.Unavailable, "certificate")
}

func TestTLSToAServerWithoutItSaysSo(t *testing.T) {
	o := options(t, "SOUK_FULL")
	o.Roots = key("roots.pem")
	want(t, predict(t, o), codes.Unavailable, "tls")
}

func TestAServerThatWantsACertificateAnswersWhoHasOne(t *testing.T) {
	o := options(t, "SOUK_MTLS")
	o.Roots = key("roots.pem")
	want(t, predict(t, o), codes.Unavailable, "")
	o.Cert, o.Key = key("client.pem"), key("client.key")
	want(t, predict(t, o), codes.OK, "")
}

func TestAServerThatWantsATokenAnswersWhoMayAsk(t *testing.T) {
	o := options(t, "SOUK_TOKENS")
	o.Roots = key("roots.pem")
	// The health check is refused first, so that no server is there to be asked.
	want(t, predict(t, o), codes.Unavailable, "unauthenticated")
	o.Token = key("observer.token")
	want(t, predict(t, o), codes.PermissionDenied, "observer")
	o.Token = key("caller.token")
	want(t, predict(t, o), codes.OK, "")
}
