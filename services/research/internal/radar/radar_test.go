package radar_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"

	"github.com/commandcenter/commandcenter/services/research/internal/radar"
	"github.com/commandcenter/commandcenter/services/research/internal/technology"
)

var day = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)

// many are n technologies, all over the radar.
func many(n int) []technology.Technology {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]technology.Technology, n)
	for i := range out {
		d := technology.New()
		d.Title = fmt.Sprint("Technology ", i+1)
		d.Status, d.Domain = technology.Statuses[r.IntN(len(technology.Statuses))], technology.Domains[r.IntN(len(technology.Domains))]
		out[i] = technology.Technology{ID: int64(i + 1), Draft: d}
	}
	return out
}

func TestABlipStandsInItsQuadrantAndRing(t *testing.T) {
	t.Parallel()
	r := radar.Of(many(400), nil, day, day)
	for _, b := range r.Blips {
		far := math.Hypot(b.X, b.Y)
		i := b.Ring.Distance()
		if far > radar.Edges[i] || i > 0 && far < radar.Edges[i-1] {
			t.Errorf("%s of ring %s is %.3f from the centre", b.Title, b.Ring, far)
		}
		left, up := b.X < 0, b.Y < 0
		// Clockwise from the upper left.
		want := [][2]bool{{true, true}, {false, true}, {false, false}, {true, false}}[slices.Index(technology.Quadrants, b.Quadrant)]
		if left != want[0] || up != want[1] {
			t.Errorf("%s of %s is at %.2f, %.2f", b.Title, b.Quadrant, b.X, b.Y)
		}
	}
}

func TestABlipKeepsItsPlaceWhileOthersCome(t *testing.T) {
	t.Parallel()
	few, all := radar.Of(many(60), nil, day, day), radar.Of(many(90), nil, day, day)
	at := map[int64][2]float64{}
	for _, b := range all.Blips {
		at[b.ID] = [2]float64{b.X, b.Y}
	}
	for _, b := range few.Blips {
		if at[b.ID] != [2]float64{b.X, b.Y} {
			t.Errorf("%s went from %.2f, %.2f to %v", b.Title, b.X, b.Y, at[b.ID])
		}
	}
	for i, b := range few.Blips {
		for _, c := range few.Blips[:i] {
			if math.Hypot(b.X-c.X, b.Y-c.Y) < 0.02 {
				t.Errorf("%s covers %s", b.Title, c.Title)
			}
		}
	}
}

func TestAVeryFullRadarIsDrawnAllTheSame(t *testing.T) {
	t.Parallel()
	all := many(5000)
	for i := range all {
		all[i].Status, all[i].Domain = "discovery", "other" // in one area
	}
	if r := radar.Of(all, nil, day, day); len(r.Blips) != 5000 {
		t.Errorf("%d blips", len(r.Blips))
	}
}

func TestWhatMovedSinceIsTold(t *testing.T) {
	t.Parallel()
	all := many(4)
	for i := range all {
		all[i].Status = "evaluation" // on trial
	}
	r := radar.Of(all, map[int64]technology.Ring{1: "assess", 2: "adopt", 3: "trial"}, day, day)
	got := map[int64]radar.Movement{}
	for i, b := range r.Blips {
		got[b.ID] = b.Movement
		if b.Number != i+1 {
			t.Errorf("blip %d has number %d", i, b.Number)
		}
	}
	want := map[int64]radar.Movement{1: radar.In, 2: radar.Out, 3: radar.Stays, 4: radar.New}
	for id, m := range want {
		if got[id] != m {
			t.Errorf("%d: %s, want %s", id, got[id], m)
		}
	}
}

func TestThePictureIsWellFormedAndEscapesWhatPeopleWrote(t *testing.T) {
	t.Parallel()
	all := many(120)
	all[0].Title = `<script>alert("1")</script> & "Söhne"`
	then := map[int64]technology.Ring{1: "assess", 2: "adopt", 3: "trial"}
	picture := radar.Of(all, then, day, day).SVG(`Radar <of> us`)
	d := xml.NewDecoder(bytes.NewReader(picture))
	text, elements := "", map[string]int{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch x := token.(type) {
		case xml.StartElement:
			elements[x.Name.Local]++
		case xml.CharData:
			text += string(x)
		}
	}
	if !strings.Contains(text, "Radar <of> us") || !strings.Contains(text, `<script>alert("1")</script>`) || elements["script"] > 0 || elements["circle"] < 120 || elements["polygon"] < 1 {
		t.Errorf("%v\n%.300s", elements, picture)
	}
	if !strings.Contains(text, "more") {
		t.Error("a legend without room does not say what it left out")
	}
}

func TestThePictureOfPixelsShowsTheBlips(t *testing.T) {
	t.Parallel()
	r := radar.Of(many(30), map[int64]technology.Ring{1: "hold", 2: "adopt"}, day, day)
	b, err := r.PNG("Radar")
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	size := img.Bounds().Size()
	for _, blip := range r.Blips {
		// Beside its number, a blip has the colour of its quadrant, which is none of the ground's.
		x, y := (800+blip.X*420-7)*float64(size.X)/1600, (530+blip.Y*420)*float64(size.Y)/1000
		if red, green, blue, _ := img.At(int(x), int(y)).RGBA(); red>>8 > 0xd5 && green>>8 > 0xd5 && blue>>8 > 0xd5 {
			t.Errorf("nothing is seen of %s", blip.Title)
		}
	}
}

func TestAnotherRadarReadsWhatIsWritten(t *testing.T) {
	t.Parallel()
	all := many(50)
	all[3].Title, all[4].Title, all[5].Title = "=1+1", "'tis", "'=x"
	r := radar.Of(all, map[int64]technology.Ring{1: "hold"}, day, day)
	text := r.CSV(func(id int64) string { return fmt.Sprintf("about, \"%d\"", id) })
	if !strings.HasPrefix(string(text), "name,ring,quadrant,isNew,description\n") || strings.Contains(string(text), "\n=1+1") {
		t.Errorf("%.200s", text)
	}
	entries, err := radar.ReadCSV(string(text))
	if err != nil || len(entries) != len(all) {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i, e := range entries {
		b := r.Blips[i]
		if e.Title != b.Title || e.Ring != b.Ring || e.Quadrant != b.Quadrant || e.New != (b.Movement == radar.New) || e.Description != fmt.Sprintf("about, \"%d\"", b.ID) {
			t.Errorf("%+v, of %+v", e, b)
		}
	}
}

func TestALineThatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"":                                       "line 1",
		"name,ring\nGo,adopt\n":                  "no column quadrant",
		"name,ring,quadrant\nGo,saturn,tools\n":  "line 2 of the CSV has ring",
		"name,ring,quadrant\nGo,adopt,kitchen\n": "quadrant",
		"name,ring,quadrant\n,adopt,tools\n":     "no name",
		"name,ring,quadrant\nGo,adopt,tools\ngo,hold,tools\n": "line 3 of the CSV names",
		"name,ring,quadrant\n\"Go,adopt,tools\n":              "cannot be read",
		"name,ring,quadrant\n" + lines(1001):                  "one more than 1000",
	} {
		_, err := radar.ReadCSV(text)
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40q: %v, want %q", text, err, says)
		}
	}
	got, err := radar.ReadCSV("\ufeffRing, Quadrant ,NAME\nAdopt,Languages & Frameworks,Go\n")
	if err != nil || len(got) != 1 || got[0].Quadrant != "languages-and-frameworks" || got[0].Ring != "adopt" {
		t.Errorf("%+v, %v", got, err)
	}
}

func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "t%d,hold,tools\n", i)
	}
	return b.String()
}

func TestALineSaysRingAndQuadrantOnlyWhereTheyDoNotFollow(t *testing.T) {
	t.Parallel()
	d := technology.New()
	d.Status = "integrated"
	radar.Entry{Ring: "adopt", Quadrant: "tools"}.Over(&d)
	if d.Ring != nil || d.Quadrant != nil || d.Description != nil {
		t.Errorf("%+v", d)
	}
	radar.Entry{Ring: "hold", Quadrant: "platforms", Description: "x"}.Over(&d)
	if d.OnRing() != "hold" || d.InQuadrant() != "platforms" || *d.Description != "x" {
		t.Errorf("%+v", d)
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add("name,ring,quadrant,isNew,description\nGo,adopt,tools,TRUE,x\n")
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := radar.ReadCSV(text)
		if err != nil && errs.KindOf(err) != errs.Invalid {
			t.Errorf("%v is no refusal", err)
		}
		for _, e := range entries {
			if e.Title == "" || e.Ring.Distance() < 0 {
				t.Errorf("%+v", e)
			}
		}
	})
}
