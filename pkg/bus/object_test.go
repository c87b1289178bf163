package bus_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
)

func read(t *testing.T, b *bus.Bus, ref bus.ObjectRef) string {
	t.Helper()
	r, err := b.GetObject(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	return string(data)
}

func TestAnObjectIsStoredWholeWithItsHash(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "knowledge")
	edge, k, ctx := env.Bus(bustest.Edge), env.Bus("knowledge"), t.Context()
	content := strings.Repeat("0123456789abcdef", 40_000) // several chunks
	ref, err := edge.PutObject(ctx, 42, "a b.txt", "text/plain", iotest.OneByteReader(strings.NewReader(content[:1000])), 1000)
	if err != nil || ref.Size != 1000 {
		t.Fatalf("exactly the limit: %+v, %v", ref, err)
	}
	ref, err = edge.PutObject(ctx, 42, "a b.txt", "text/plain", strings.NewReader(content), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(content))
	if ref.Bucket != bus.BucketBlobs || !strings.HasPrefix(ref.Name, "p42/") || ref.Filename != "a b.txt" || ref.ContentType != "text/plain" || ref.SHA256 != hex.EncodeToString(sum[:]) || ref.Size != int64(len(content)) {
		t.Errorf("ref %+v", ref)
	}
	if got := read(t, k, ref); got != content {
		t.Errorf("%d bytes back", len(got))
	}
	for range 2 {
		if err := k.DeleteObject(ctx, ref); err != nil {
			t.Error(err)
		}
	}
	if _, info := bucket(t, env); info.State.Msgs != 2 {
		t.Errorf("%d messages of one small object", info.State.Msgs)
	}
	if _, err := k.GetObject(ctx, ref); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a deleted object: %v", err)
	}
	for _, bad := range []bus.ObjectRef{{}, {Bucket: "spill", Name: "x"}, {Bucket: bus.BucketBlobs}} {
		if _, err := k.GetObject(ctx, bad); errs.KindOf(err) != errs.Internal {
			t.Errorf("%+v: %v", bad, err)
		}
		if err := k.DeleteObject(ctx, bad); errs.KindOf(err) != errs.Internal {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestAnObjectMayBeReadForLongerThanOneCallTakes(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "knowledge")
	content := strings.Repeat("0123456789abcdef", 1<<19) // 8 MiB: more than lies ready
	ref, err := env.Bus(bustest.Edge).PutObject(t.Context(), 42, "a.txt", "text/plain", strings.NewReader(content), 16<<20)
	if err != nil {
		t.Fatal(err)
	}
	const timeout = 200 * time.Millisecond
	c := env.Config("knowledge")
	c.Timeout = timeout
	r, err := env.Connect(c).GetObject(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	<-time.After(2 * timeout) // the time itself is what is waited for
	if rest, err := io.ReadAll(r); err != nil || len(rest) != len(content)-1000 {
		t.Errorf("%d bytes more, %v", len(rest), err)
	}
}

func TestAnUploadThatIsTooLargeOrBreaksOffLeavesNothing(t *testing.T) {
	t.Parallel()
	env := bustest.New(t)
	edge := env.Bus(bustest.Edge)
	if _, err := edge.PutObject(t.Context(), 42, "f", "", strings.NewReader(strings.Repeat("x", 300_001)), 300_000); errs.KindOf(err) != errs.TooLarge {
		t.Errorf("one byte too many: %v", err)
	}
	hung := errors.New("connection reset")
	_, err := edge.PutObject(t.Context(), 42, "f", "", io.MultiReader(strings.NewReader(strings.Repeat("x", 300_000)), iotest.ErrReader(hung)), 1<<20)
	if errs.KindOf(err) != errs.Malformed || !errors.Is(err, hung) {
		t.Errorf("broken off: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := edge.PutObject(ctx, 42, "f", "", strings.NewReader("x"), 10); err == nil {
		t.Error("nobody there: no error")
	}
	if _, info := bucket(t, env); info.State.Msgs != 0 {
		t.Errorf("%d messages left", info.State.Msgs)
	}
}

// pieces reads at most n bytes at a time, as the part of a form does.
type pieces struct {
	r io.Reader
	n int
}

func (p pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), p.n)]) }

// bucket is the stream of the uploaded files, seen by the administrator.
func bucket(t *testing.T, env *bustest.Env) (jetstream.JetStream, *jetstream.StreamInfo) {
	t.Helper()
	js := jetStream(t, env.Conn(natsd.UserAdmin))
	s, err := js.Stream(t.Context(), "OBJ_"+bus.BucketBlobs)
	if err != nil {
		t.Fatal(err)
	}
	return js, s.CachedInfo()
}

func TestAFileThatComesInSmallPiecesIsStoredInLargeOnes(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "knowledge")
	const size = 20<<20 - 1
	content := strings.Repeat("0123456789abcde\n", 20<<16)[:size]
	ref, err := env.Bus(bustest.Edge).PutObject(t.Context(), 42, "f", "", pieces{strings.NewReader(content), 4096}, 20<<20)
	if err != nil {
		t.Fatal(err)
	}
	if ref.Size != size || read(t, env.Bus("knowledge"), ref) != content {
		t.Errorf("%d bytes back", ref.Size)
	}
	if _, info := bucket(t, env); info.State.Msgs > size/(64<<10) {
		t.Errorf("%d messages for %d bytes", info.State.Msgs, size)
	}
}

func TestAStoreThatCannotTakeAFileSaysWhy(t *testing.T) {
	t.Parallel()
	env := bustest.New(t)
	js, info := bucket(t, env)
	info.Config.MaxBytes = 1 << 20
	if _, err := js.UpdateStream(t.Context(), info.Config); err != nil {
		t.Fatal(err)
	}
	put := func() error {
		_, err := env.Bus(bustest.Edge).PutObject(t.Context(), 42, "f", "", strings.NewReader(strings.Repeat("x", 2<<20)), 4<<20)
		return err
	}
	if e := errs.As(put()); e.Kind != errs.Unavailable || e.Public() != "the object store is full" || e.RetryAfter == 0 {
		t.Errorf("full: %+v", e)
	}
	if _, info := bucket(t, env); info.State.Msgs != 0 {
		t.Errorf("%d messages left", info.State.Msgs)
	}
	if err := js.DeleteStream(t.Context(), info.Config.Name); err != nil {
		t.Fatal(err)
	}
	if e := errs.As(put()); e.Kind != errs.Unavailable || e.Public() != "the object store does not answer" {
		t.Errorf("gone: %+v", e)
	}
}

func TestAnUploadWhoseCallerHasGoneLeavesNothing(t *testing.T) {
	t.Parallel()
	env := bustest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	gone := readerFunc(func([]byte) (int, error) { cancel(); return 0, ctx.Err() })
	_, err := env.Bus(bustest.Edge).PutObject(ctx, 42, "f", "", io.MultiReader(strings.NewReader(strings.Repeat("x", 300_000)), gone), 1<<20)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, info := bucket(t, env); info.State.Msgs != 0 {
		t.Errorf("%d messages left", info.State.Msgs)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestPresenceGoesOverTheHubAndReachesItsDurableConsumer(t *testing.T) {
	t.Parallel()
	env := bustest.Start(t, []string{"federation"}, bustest.WithHub(announcing, "federation"))
	hub, err := bus.ConnectHub(t.Context(), env.HubConfig("federation"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hub.Close)
	if err := hub.Announce(t.Context(), "here", nats.Header{"X": {"1"}}, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := hub.Announce(t.Context(), "a.b", nil, nil); err == nil {
		t.Error("announced as two tokens")
	}
	heard := make(chan bus.Presence, 8)
	env.Run(hub.Presences(func(_ context.Context, p bus.Presence) error {
		if string(p.Data) == "rubbish" {
			return errors.New("cannot be read")
		}
		heard <- p
		return nil
	}))
	if p := bustest.Await(env, heard); p.Slug != "here" || string(p.Data) != "one" || p.Header.Get("X") != "1" || p.Time.IsZero() || p.Seq == 0 {
		t.Errorf("caught up %+v", p)
	}
	neighbour := env.Conn(natsd.UserHubAdmin)
	for _, data := range []string{"rubbish", "two"} {
		if err := neighbour.Publish("hub.presence."+data, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if p := bustest.Await(env, heard); p.Slug != "two" {
		t.Errorf("heard %+v", p)
	}
	if err := hub.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	denied := make(chan error, 4)
	nc, err := nats.Connect("", nats.InProcessServer(env.Server.InProcess()), nats.UserCredentials(env.Server.Trust.CredsFile(bus.HubUser("federation"))),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Publish("hub.other", nil); err != nil {
		t.Fatal(err)
	}
	if err := bustest.Await(env, denied); !strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
		t.Errorf("another subject of the hub: %v", err)
	}
}
