package settings

import (
	"strings"
	"testing"
)

func TestAMemberOfAClusterNamesAllOfThem(t *testing.T) {
	t.Parallel()
	three := []string{"127.0.0.1:6222", "127.0.0.1:6223", "127.0.0.1:6224"}
	far := []string{"10.0.0.1:6222", "10.0.0.2:6222", "10.0.0.3:6222"}
	for _, good := range []Cluster{
		{},
		{Name: "n1", Listen: "127.0.0.1:6222", Routes: three, Advertise: "127.0.0.1:7222"},
		{Name: "n1", Listen: "10.0.0.1:6222", Routes: far, Plain: true},
		{Name: "n1", Listen: "0.0.0.0:6222", Routes: far, CertFile: "c", KeyFile: "k", CAFile: "a"},
	} {
		c := Default()
		if c.Cluster = good; c.Validate() != nil {
			t.Errorf("%+v: %v", good, c.Validate())
		}
	}
	for want, bad := range map[string]Cluster{
		"cluster.name":                {Listen: "127.0.0.1:6222"},
		"cluster.routes: 1":           {Name: "n1", Listen: "127.0.0.1:6222", Routes: three[:1]},
		"cluster.listen: \"6222\"":    {Name: "n1", Listen: "6222", Routes: three},
		"cluster.listen: 10.0.0.1":    {Name: "n1", Listen: "10.0.0.1:6222", Routes: three},
		"cluster.routes: 10.0.0.1":    {Name: "n1", Listen: "127.0.0.1:6222", Routes: far},
		"cluster.advertise: \"here\"": {Name: "n1", Listen: "127.0.0.1:6222", Routes: three, Advertise: "here"},
		"cluster.cert_file":           {Name: "n1", Listen: "127.0.0.1:6222", Routes: three, CertFile: "c"},
	} {
		c := Default()
		c.Cluster = bad
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s: %v", want, err)
		}
	}
}
