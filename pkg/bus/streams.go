package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	events "github.com/commandcenter/commandcenter/proto-events"
)

// Specs say what an instance's streams must carry.
type Specs struct {
	// Services take commands and jobs.
	Services []string
	// Events are the facts whose consumers are made; usually events.Catalogue().
	Events []events.Description
	// Replicas of each stream; 1 when 0, 3 on a cluster.
	Replicas int
	// Memory keeps every stream in memory. For tests.
	Memory bool
	// AsyncEvents acknowledges events and jobs before they are on disk, on a
	// single node. They can be published again from their rows, and the relay
	// does so after a loss that it notices.
	AsyncEvents bool
}

// Bounds of the streams, in bytes and time.
const (
	maxCommands  = 1 << 30
	maxEvents    = 4 << 30
	maxJobs      = 512 << 20
	maxDead      = 512 << 20
	maxExt       = 32 << 20 // of one team of one project
	maxLive      = 32 << 20
	maxAnnounced = 8 << 20
	maxBlobs     = 8 << 30
	maxSpill     = 512 << 20
	maxBodies    = 512 << 20

	keepEvents    = 7 * 24 * time.Hour
	keepDead      = 30 * 24 * time.Hour
	keepLive      = 5 * time.Minute
	keepAnnounced = 24 * time.Hour
	keepNotes     = 24 * time.Hour
	keepSpill     = 10 * time.Minute
	keepBodies    = 30 * 24 * time.Hour
	dedupeWindow  = 2 * time.Minute
	ackWait       = 30 * time.Second

	// maxInFlight is how many commands of a service may be in hands: those of a
	// project that floods, and those behind them.
	maxInFlight = 16384
	// maxPending is how many commands of one operation of one project may wait:
	// what is more is refused, by the stream itself.
	maxPending = 1000
	// maxDeadAlike is how many dead letters of one operation of a project, or of
	// one team there, are kept.
	maxDeadAlike = 1000
)

// Streams lists the streams of account CC, the buckets apart.
func Streams(s Specs) []jetstream.StreamConfig {
	disk, replicas := jetstream.FileStorage, max(1, s.Replicas)
	if s.Memory {
		disk = jetstream.MemoryStorage
	}
	persist := jetstream.DefaultPersistMode
	if s.AsyncEvents && replicas == 1 && !s.Memory {
		persist = jetstream.AsyncPersistMode
	}
	light := forgetful(replicas, s.Memory)
	streams := []jetstream.StreamConfig{
		{
			Name: StreamCommands, Description: "what callers want done", Subjects: []string{"cmd.>"}, Storage: disk, Replicas: replicas,
			Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, MaxBytes: maxCommands, Duplicates: dedupeWindow,
			MaxMsgsPerSubject: maxPending, DiscardNewPerSubject: true,
		},
		{
			Name: StreamEvents, Description: "what has happened", Subjects: []string{"evt.>"}, Storage: disk, Replicas: replicas, PersistMode: persist,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, MaxBytes: maxEvents, MaxAge: keepEvents, Duplicates: dedupeWindow,
		},
		{
			Name: StreamJobs, Description: "which jobs may run now", Subjects: []string{"job.>"}, Storage: disk, Replicas: replicas, PersistMode: persist,
			Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, MaxBytes: maxJobs, Duplicates: dedupeWindow,
		},
		{
			Name: StreamDead, Description: "what was given up", Subjects: []string{"dead.>"}, Storage: disk, Replicas: replicas,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, MaxBytes: maxDead, MaxAge: keepDead, Duplicates: dedupeWindow,
			MaxMsgsPerSubject: maxDeadAlike,
		},
		{
			Name: StreamLive, Description: "progress, for minutes", Subjects: []string{"live.>"}, Storage: light.Storage, PersistMode: light.PersistMode, Replicas: replicas,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, MaxBytes: maxLive, MaxAge: keepLive, NoAck: true,
		},
		{
			Name: StreamSpill, Description: "requests and answers too large for a message", Subjects: []string{kindSpill + ".>"}, Storage: disk, Replicas: replicas,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: maxSpill, MaxAge: keepSpill, AllowDirect: true,
		},
		{
			Name: StreamBodies, Description: "bodies of commands too large for a message", Subjects: []string{kindBody + ".>"}, Storage: disk, Replicas: replicas,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: maxBodies, MaxAge: keepBodies, AllowDirect: true,
			AllowRollup: true, AllowMsgTTL: true, // by which a service removes what it has read
		},
	}
	if s.Memory { // the server sets aside what a stream may hold, and has little
		for i := range streams {
			streams[i].MaxBytes = maxLive
		}
	}
	return streams
}

// forgetful is the storage of what may be lost. In memory on a cluster; on a
// single node in files that are written in passing, because a memory stream
// would be gone after a restart of the server, and its consumers with it, until
// somebody provisions again.
func forgetful(replicas int, memory bool) jetstream.StreamConfig {
	if memory || replicas > 1 {
		return jetstream.StreamConfig{Storage: jetstream.MemoryStorage}
	}
	return jetstream.StreamConfig{Storage: jetstream.FileStorage, PersistMode: jetstream.AsyncPersistMode}
}

// ConsumerSpec is one durable consumer of a stream.
type ConsumerSpec struct {
	Stream string
	Config jetstream.ConsumerConfig
}

func durable(stream, name, filter string, inFlight int) ConsumerSpec {
	return ConsumerSpec{stream, jetstream.ConsumerConfig{
		Durable: name, FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait,
		// Unlimited: after its last try a message goes to DEAD and is
		// terminated, by the bus and not by silence.
		MaxDeliver: -1, MaxAckPending: inFlight, DeliverPolicy: jetstream.DeliverAllPolicy,
	}}
}

// Consumers lists every durable consumer of account CC that is not of a team.
func Consumers(s Specs) []ConsumerSpec {
	var out []ConsumerSpec
	add := func(stream, name, filter string, inFlight int) {
		out = append(out, durable(stream, name, filter, inFlight))
	}
	for _, service := range s.Services {
		add(StreamCommands, CommandDurable(service), commandFilter(service), maxInFlight)
		add(StreamJobs, JobDurable(service), "job.*."+service+".>", 256)
	}
	for _, d := range s.Events {
		for _, consumer := range d.Consumers {
			// One in flight: the order of the stream is the order of the
			// effects, also when a fact has to be tried again.
			add(StreamEvents, EventDurable(consumer, d), eventFilter(d), 1)
		}
	}
	return out
}

// Provision makes the streams, buckets and durable consumers of account CC, or
// brings them up to date; nothing is ever deleted. admin must be a connection
// of the provisioning user: no service may do any of this.
func Provision(ctx context.Context, admin *nats.Conn, s Specs) error {
	js, err := jetstream.New(admin)
	if err != nil {
		return fmt.Errorf("provision: %w", err)
	}
	for _, c := range Streams(s) {
		if err := stream(ctx, js, c); err != nil {
			return err
		}
	}
	if err := buckets(ctx, js, s); err != nil {
		return err
	}
	for _, c := range Consumers(s) {
		if err := consumer(ctx, js, c); err != nil {
			return err
		}
	}
	return retire(ctx, js)
}

// stream creates or updates one. What a stream cannot change in place, its
// storage and retention, stays as it is: losing messages is not an update.
func stream(ctx context.Context, js jetstream.JetStream, c jetstream.StreamConfig) error {
	s, err := js.Stream(ctx, c.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		if _, err := js.CreateStream(ctx, c); err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return fmt.Errorf("provision stream %s: %w", c.Name, err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("provision stream %s: %w", c.Name, err)
	}
	now := s.CachedInfo().Config
	if now.Storage != c.Storage || now.Retention != c.Retention {
		return fmt.Errorf("provision stream %s: it is kept in %s with retention %s, wanted %s and %s, which cannot be changed in place: move its messages to a new stream first",
			c.Name, now.Storage, now.Retention, c.Storage, c.Retention)
	}
	c.PersistMode = now.PersistMode // fixed at creation
	if same(now, c) {
		return nil
	}
	if _, err := js.UpdateStream(ctx, c); err != nil {
		return fmt.Errorf("provision stream %s: %w", c.Name, err)
	}
	return nil
}

// same compares what [Streams] sets.
func same(a, b jetstream.StreamConfig) bool {
	return slices.Equal(a.Subjects, b.Subjects) && a.Description == b.Description && a.Replicas == b.Replicas && a.Discard == b.Discard &&
		max(a.MaxMsgsPerSubject, 0) == max(b.MaxMsgsPerSubject, 0) && a.DiscardNewPerSubject == b.DiscardNewPerSubject &&
		a.MaxBytes == b.MaxBytes && a.MaxAge == b.MaxAge && (b.Duplicates == 0 || a.Duplicates == b.Duplicates) && a.NoAck == b.NoAck && a.AllowDirect == b.AllowDirect
}

func consumer(ctx context.Context, js jetstream.JetStream, c ConsumerSpec) error {
	have, err := js.Consumer(ctx, c.Stream, c.Config.Durable)
	if err == nil {
		now := have.CachedInfo().Config
		if now.FilterSubject == c.Config.FilterSubject && now.AckWait == c.Config.AckWait && now.MaxAckPending == c.Config.MaxAckPending && now.MaxDeliver == c.Config.MaxDeliver {
			return nil
		}
	}
	if _, err := js.CreateOrUpdateConsumer(ctx, c.Stream, c.Config); err != nil {
		return fmt.Errorf("provision consumer %s of %s: %w", c.Config.Durable, c.Stream, err)
	}
	return nil
}

func buckets(ctx context.Context, js jetstream.JetStream, s Specs) error {
	disk, replicas := jetstream.FileStorage, max(1, s.Replicas)
	if s.Memory {
		disk = jetstream.MemoryStorage
	}
	blobs := int64(maxBlobs)
	if s.Memory { // a test server has little
		blobs = 2 * maxLive
	}
	_, err := js.ObjectStore(ctx, BucketBlobs)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		_, err = js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket: BucketBlobs, Description: "uploaded files", Storage: disk, Replicas: replicas, MaxBytes: blobs,
		})
	}
	if err != nil && !errors.Is(err, jetstream.ErrBucketExists) {
		return fmt.Errorf("provision bucket %s: %w", BucketBlobs, err)
	}
	_, err = js.KeyValue(ctx, BucketOperations)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		_, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: BucketOperations, Description: "commands that were answered 202", Storage: disk, Replicas: replicas, History: 1, TTL: keepNotes, MaxBytes: 64 << 20,
		})
	}
	if err == nil || errors.Is(err, jetstream.ErrBucketExists) {
		err = forgetOldest(ctx, js, "KV_"+BucketOperations)
	}
	if err != nil {
		return fmt.Errorf("provision bucket %s: %w", BucketOperations, err)
	}
	return nil
}

// forgetOldest makes a full bucket give up its oldest entry for a new one, where
// buckets refuse. The command of an old note has most likely run, and then its
// service knows of it.
func forgetOldest(ctx context.Context, js jetstream.JetStream, stream string) error {
	st, err := js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	c := st.CachedInfo().Config
	if c.Discard == jetstream.DiscardOld {
		return nil
	}
	c.Discard = jetstream.DiscardOld
	_, err = js.UpdateStream(ctx, c)
	return err
}
