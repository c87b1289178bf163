package bus

import (
	"slices"
	"strings"

	events "github.com/commandcenter/commandcenter/proto-events"

	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Contract is what one service may do on the bus. Its permissions follow from
// it and from nothing else.
type Contract struct {
	// Serves are the operations and internal calls that it answers, by name.
	Serves []string
	// Calls are what it asks: "<service>.<operation>", or "<service>.*".
	Calls []string
	// Commands are what it puts on the stream for others, in the same form.
	Commands []string
	// Publishes are the facts that it says.
	Publishes []events.Description
	// Hears are the facts that it handles or follows.
	Hears []events.Description
	// TakesCommands and Jobs give it its durable consumers.
	TakesCommands, Jobs bool
	// Objects lets it read, write, delete and list stored files.
	Objects bool
	// Live lets it tell progress, FollowsLive hear it.
	Live, FollowsLive bool
	// External lets it take facts of other teams.
	External bool
	// AllFacts lets it hear and read every fact of every project: an edge.
	AllFacts bool
	// Notes lets it write and read what was answered 202, and read a command
	// whose edge died before it did: an edge.
	Notes bool
	// Peers lets its replicas talk among themselves.
	Peers bool
	// DeadLetters lets it list, redrive and discard dead letters.
	DeadLetters bool
	// Purges lets it empty streams of a project that is no more. What a purge
	// names no permission can see: it may empty them of everything.
	Purges bool
}

// PermissionsFor derives the user of a service in account CC. Nothing is
// allowed but what the contract says: it cannot make or delete a stream or a
// durable consumer, nor read a stream but through its own consumers.
//
// A subscribe permission does not bind a consumer, so what may be followed is
// granted by the filter in the consumer's create subject; the names of durables
// that exist on the same filter are denied there, so that nobody changes
// another's.
func PermissionsFor(service string, c Contract) natsd.UserSpec {
	p := &perms{}
	p.sub("_INBOX_"+service+".>", "rsp."+service+".>")
	if len(c.Serves) > 0 {
		p.pub("rsp.*.>", kindSpill+".*.>")
		p.sub("req.*." + service + ".*")
		for _, verb := range []string{"PING", "INFO", "STATS"} {
			p.sub("$SRV."+verb, "$SRV."+verb+"."+service, "$SRV."+verb+"."+service+".*")
		}
	}
	for _, call := range c.Calls {
		if to, op, ok := strings.Cut(call, "."); ok {
			p.pub("req.*."+to+"."+op, "rsp."+to+".>", kindSpill+"."+to+".>") // rsp for the credit of streams
		}
	}
	for _, command := range c.Commands {
		if to, op, ok := strings.Cut(command, "."); ok {
			p.pub("cmd.*."+to+"."+op, "req.*."+to+"."+getOperation, "req.*."+to+"."+listOperations, kindBody+"."+to+".>",
				"$JS.API.CONSUMER.INFO."+StreamCommands+"."+CommandDurable(to))
		}
	}
	for _, d := range c.Publishes {
		p.pub(d.By(service).Subject("*"))
	}
	if len(c.Publishes) > 0 {
		p.pub("$JS.API.STREAM.INFO." + StreamEvents)
	}
	var takes bool
	for _, d := range c.Hears {
		filter := eventFilter(d)
		for _, other := range d.Consumers {
			p.deny("$JS.API.CONSUMER.CREATE." + StreamEvents + "." + EventDurable(other, d) + ".>")
		}
		if slices.Contains(d.Consumers, service) {
			takes = true
			p.durable(StreamEvents, EventDurable(service, d))
			p.follow(StreamDead, ownLetters(service, "evt")) // to take one again
		}
		p.follow(StreamEvents, filter)
	}
	if c.TakesCommands {
		takes = true
		p.durable(StreamCommands, CommandDurable(service))
	}
	if c.Jobs {
		takes = true
		p.durable(StreamJobs, JobDurable(service))
		p.pub("job.*."+service+".*", "$JS.API.STREAM.INFO."+StreamJobs, "peer."+service+".jobs")
		p.sub("peer." + service + ".jobs")
	}
	if c.External {
		takes = true
		// On whatever stream: nothing but a team's has a consumer of that name.
		p.durable("*", ExternalDurable(service))
		p.pub("$JS.API.STREAM.NAMES")
		p.sub("$JS.EVENT.ADVISORY.CONSUMER.CREATED.*." + ExternalDurable(service))
		p.follow(StreamDead, ownLetters(service, "ext")) // to take one again
	}
	if takes {
		p.pub("dead."+service+".>", "$JS.API.STREAM.INFO."+StreamDead)
	}
	if c.Live {
		p.pub("live.*.*")
	}
	if c.AllFacts {
		p.allFacts()
	}
	if c.FollowsLive {
		p.follow(StreamLive, "live.>")
	}
	if c.Objects {
		p.bucket(BucketBlobs)
		// To walk through all of it: nothing that it could not read before. And to
		// see whether commands wait that refer to it.
		p.pub("$JS.API.STREAM.INFO."+StreamCommands, "$JS.API.DIRECT.GET.OBJ_"+BucketBlobs, "$JS.API.DIRECT.GET.OBJ_"+BucketBlobs+".$O."+BucketBlobs+".C.>")
	}
	if len(c.Serves) > 0 || len(c.Calls) > 0 || len(c.Commands) > 0 || c.TakesCommands {
		p.receive(kindSpill, service)
	}
	if c.TakesCommands {
		p.receive(kindBody, service)
		p.pub(kindBody + "." + service + ".>") // to remove it
	}
	if c.Notes {
		kv := "KV_" + BucketOperations
		p.pub("$JS.API.STREAM.MSG.GET."+StreamCommands, "$KV."+BucketOperations+".>", "$JS.API.STREAM.INFO."+kv, "$JS.API.DIRECT.GET."+kv, "$JS.API.DIRECT.GET."+kv+".$KV."+BucketOperations+".>")
	}
	if c.Peers {
		p.pub("peer." + service + ".>")
		p.sub("peer." + service + ".>")
	}
	if c.DeadLetters {
		p.pub("$JS.API.STREAM.INFO."+StreamDead, "$JS.API.STREAM.MSG.GET."+StreamDead, "$JS.API.STREAM.MSG.DELETE."+StreamDead,
			"$JS.API.STREAM.INFO."+StreamCommands, "cmd.>", requestSubject(tenant.Instance, "*", askRedrive))
	}
	if c.Purges {
		p.pub("$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.PURGE.*", "$JS.API.DIRECT.GET.*.$O.*.M.>")
	}
	return natsd.UserSpec{Name: service, Pub: p.allow, PubDeny: p.denied, Sub: p.hear, Replies: len(c.Serves) > 0 || c.Peers}
}

type perms struct{ allow, denied, hear []string }

func (p *perms) pub(s ...string)  { p.allow = append(p.allow, s...) }
func (p *perms) deny(s ...string) { p.denied = append(p.denied, s...) }
func (p *perms) sub(s ...string)  { p.hear = append(p.hear, s...) }

// durable lets the user take and acknowledge the messages of one consumer that
// exists.
func (p *perms) durable(stream, name string) {
	p.pub("$JS.API.CONSUMER.INFO."+stream+"."+name, "$JS.API.CONSUMER.MSG.NEXT."+stream+"."+name,
		"$JS.ACK."+stream+"."+name+".>", "$JS.ACK.*.*."+stream+"."+name+".>")
}

// follow lets the user make consumers of its own that see the filter and
// nothing else, delivered to its inbox. The server drops them when nobody
// listens, so that no right to delete is needed.
func (p *perms) follow(stream, filter string) {
	p.pub("$JS.API.CONSUMER.CREATE."+stream+".*."+filter, "$JS.API.STREAM.INFO."+stream, "$JS.FC."+stream+".>")
}

// receive lets the user read the large bodies that are addressed to it.
func (p *perms) receive(kind, service string) {
	p.pub("$JS.API.DIRECT.GET." + largeStream(kind) + "." + kind + "." + service + ".>")
}

// bucket lets the user put, get and delete objects. Its purge names its filter
// in the body, where no permission can see it.
func (p *perms) bucket(name string) {
	s := "OBJ_" + name
	p.pub("$O."+name+".>", "$JS.API.STREAM.INFO."+s, "$JS.API.STREAM.PURGE."+s, "$JS.API.DIRECT.GET."+s+".$O."+name+".M.>",
		"$JS.API.CONSUMER.CREATE."+s+".*.$O."+name+".C.>", "$JS.API.CONSUMER.DELETE."+s+".*", "$JS.API.CONSUMER.INFO."+s+".*", "$JS.FC."+s+".>")
}

// allFacts lets the user make consumers of its own on the whole of EVENTS, and
// keeps it off the durables of others.
func (p *perms) allFacts() {
	for _, d := range events.Catalogue() {
		for _, other := range d.Consumers {
			p.deny("$JS.API.CONSUMER.CREATE." + StreamEvents + "." + EventDurable(other, d) + ".>")
		}
	}
	p.follow(StreamEvents, "evt.>")
}
