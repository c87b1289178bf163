package settings

import (
	"slices"
	"strings"
	"testing"
)

func TestHubsOfOthersAreJoinedByAddressAndFile(t *testing.T) {
	t.Parallel()
	h := Hub{Join: []string{"leaf+tls://north.example /etc/cc/north creds", " leaf://127.0.0.1:1 ", "tls://[2001:db8::1]:4443/", "nats://old.example  /f"}}
	got, err := h.Joins()
	want := []Join{
		{Leaf: true, TLS: true, Host: "north.example:7422", Credentials: "/etc/cc/north creds"}, {Leaf: true, Host: "127.0.0.1:1"},
		{TLS: true, Host: "[2001:db8::1]:4443"}, {Host: "old.example:4222", Credentials: "/f"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	if a, b := got[2].URL(), got[3].URL(); a != "tls://[2001:db8::1]:4443" || b != "nats://old.example:4222" {
		t.Errorf("urls %s, %s", a, b)
	}
}

func TestAHubThatCannotBeJoinedSafelyIsRefusedAndNoSecretIsShown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		h    Hub
		nats string
		want string
	}{
		"fine":                   {Hub{Listen: "127.0.0.1:7422", Join: []string{"leaf://localhost:1", "nats://[::1]:2", "leaf+tls://h"}}, "", ""},
		"fine with certificate":  {Hub{Listen: ":7422", CertFile: "c", KeyFile: "k"}, "", ""},
		"fine when said":         {Hub{Listen: "0.0.0.0:7422", Plain: true, Join: []string{"nats://old:4222"}}, "", ""},
		"a client of any NATS":   {Hub{Join: []string{"tls://old"}}, "nats://n:1", ""},
		"no address":             {Hub{Listen: "7422"}, "", "hub.listen"},
		"beyond this machine":    {Hub{Listen: "0.0.0.0:7422"}, "", "hub.listen: 0.0.0.0:7422 leaves"},
		"half a certificate":     {Hub{CertFile: "c"}, "", "hub.cert_file"},
		"plain leaf":             {Hub{Join: []string{"leaf://h:1"}}, "", "hub.join: h:1 leaves"},
		"plain client":           {Hub{Join: []string{"nats://h:1"}}, "", "hub.join: h:1 leaves"},
		"unknown scheme":         {Hub{Join: []string{"http://h:1"}}, "", "hub.join"},
		"no host":                {Hub{Join: []string{"leaf+tls://:7422"}}, "", "hub.join"},
		"a path":                 {Hub{Join: []string{"tls://h:1/x"}}, "", "hub.join"},
		"nonsense":               {Hub{Join: []string{"tls://hush@%zz"}}, "", "hub.join"},
		"a password":             {Hub{Join: []string{"tls://u:hush@h:1"}}, "", "hub.join: h:1: put"},
		"a token":                {Hub{Join: []string{"tls://hush@h:1"}}, "", "hub.join: h:1: put"},
		"all of the hub":         {Hub{Allow: []string{"hub.>"}}, "", "hub.allow"},
		"another's subject":      {Hub{Allow: []string{"hub.north.>", "evt.>"}}, "", `hub.allow: "evt.>"`},
		"twice":                  {Hub{Join: []string{"tls://h:1 /a", "nats://h:1"}, Plain: true}, "", "hub.join: h:1 is there twice"},
		"somebody else's listen": {Hub{Listen: "127.0.0.1:1"}, "nats://n:1", "hub.listen: NATS is somebody else's"},
		"somebody else's leaf":   {Hub{Join: []string{"leaf+tls://h"}}, "nats://n:1", "hub.join: h:7422: NATS is somebody else's"},
	} {
		conf := Default()
		conf.Hub, conf.NATSURL = c.h, c.nats
		err := conf.Validate()
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", name, err, c.want)
		case err != nil && strings.Contains(err.Error(), "hush"):
			t.Errorf("%s shows a secret: %v", name, err)
		}
	}
}
