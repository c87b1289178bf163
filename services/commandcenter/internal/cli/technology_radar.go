package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	openapi_types "github.com/oapi-codegen/runtime/types"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) technologyRadar() *cobra.Command {
	var since, title, svg, png, csv string
	c := &cobra.Command{
		Use: "radar", Short: "Where everything stands, drawn here or as a picture", Args: nargs(0, 0),
		Long: `Draws the radar in the terminal: "+" is new, ">" moved in and "<" moved out since the
day. With --svg or --png it is a picture, with --csv a file that other radars read.`,
		Example: `  commandcenter technology radar --since 2026-01-01
  commandcenter technology radar --png radar.png --title "Radar, autumn"
  commandcenter technology radar --csv - > radar.csv`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var day *openapi_types.Date
			if since != "" {
				t, err := time.Parse(time.DateOnly, since)
				if err != nil {
					return usageError{fmt.Errorf("--since: %q is no day, as 2026-01-31 is one", since)}
				}
				day = &openapi_types.Date{Time: t}
			}
			s, err := e.session()
			if err != nil {
				return err
			}
			written := false
			for _, f := range []struct {
				name string
				get  func(ctx context.Context) (*http.Response, error)
			}{
				{svg, func(ctx context.Context) (*http.Response, error) {
					return s.GetRadarSVG(ctx, &client.GetRadarSVGParams{Since: day, Title: orNone(title)})
				}},
				{png, func(ctx context.Context) (*http.Response, error) {
					return s.GetRadarPNG(ctx, &client.GetRadarPNGParams{Since: day, Title: orNone(title)})
				}},
				{csv, func(ctx context.Context) (*http.Response, error) {
					return s.GetRadarCSV(ctx, &client.GetRadarCSVParams{Since: day})
				}},
			} {
				if f.name == "" {
					continue
				}
				written = true
				if err := e.saveAnswer(cmd.Context(), f.name, f.get); err != nil {
					return err
				}
			}
			if written {
				return nil
			}
			r, err := client.Into[client.Radar](s.GetRadar(cmd.Context(), &client.GetRadarParams{Since: day}))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, r)
				return nil
			}
			e.drawRadar(r)
			return nil
		},
	}
	fs := c.Flags()
	fs.StringVar(&since, "since", "", "mark what moved since this day (default: a quarter ago)")
	fs.StringVar(&title, "title", "", "what stands above a picture")
	fs.StringVar(&svg, "svg", "", "write a picture here; - for standard output")
	fs.StringVar(&png, "png", "", "write a picture of pixels here")
	fs.StringVar(&csv, "csv", "", "write a file for other radars here")
	return ends(c, codesClient...)
}

func orNone(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// maxAnswer bounds a file that is answered.
const maxAnswer = 64 << 20

// saveAnswer writes an answer that is no JSON to a file.
func (e *env) saveAnswer(ctx context.Context, name string, get func(ctx context.Context) (*http.Response, error)) error {
	resp, err := get(ctx)
	if err == nil && resp.StatusCode != http.StatusOK {
		_, err = client.Into[struct{}](resp, nil)
	}
	if err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if len(b) > maxAnswer {
		err = fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)
	}
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if name == "-" {
		_, err := e.Out.Write(b)
		return err
	}
	if err := os.WriteFile(name, b, 0o644); err != nil { //nolint:gosec // G306: a picture to be shown
		return err
	}
	if e.json {
		e.print(e.Out, map[string]any{"file": name, "bytes": len(b)})
		return nil
	}
	e.line("Wrote %s, %s.", oneLine(name), size(int64(len(b))))
	return nil
}

// The radar in the terminal. A character is twice as high as it is wide.
const (
	radarRows    = 33
	radarColumns = 2*radarRows - 1
)

// drawRadar draws the rings and the numbers, and lists below what these are.
func (e *env) drawRadar(r client.Radar) {
	grid := make([][]string, radarRows)
	for y := range grid {
		grid[y] = make([]string, radarColumns)
		for x := range grid[y] {
			grid[y][x] = " "
		}
	}
	half := float64(radarRows-1) / 2
	set := func(x, y float64, s string) (row, column int) {
		row, column = int(math.Round(half+y*half)), int(math.Round(2*(half+x*half)))
		row, column = min(max(row, 0), radarRows-1), min(max(column, 0), radarColumns-1)
		grid[row][column] = s
		return row, column
	}
	for i := -100; i <= 100; i++ {
		at := float64(i) / 100
		set(at, 0, "-")
		set(0, at, "|")
	}
	for _, ring := range r.Rings {
		for i := range 360 {
			a := float64(i) * math.Pi / 180
			set(ring.Radius*math.Cos(a), ring.Radius*math.Sin(a), ".")
		}
	}
	for _, b := range r.Blips {
		digits := strconv.Itoa(b.Number)
		row, column := set(b.X, b.Y, "")
		column = min(column, radarColumns-len(digits))
		for i, d := range digits {
			grid[row][column+i] = e.paint(e.Out, bold, string(d))
		}
	}
	for _, row := range grid {
		e.line("%s", strings.TrimRight(strings.Join(row, ""), " "))
	}
	var quadrant client.RadarQuadrant
	var ring client.RadarRing
	for _, b := range r.Blips {
		if b.Quadrant != quadrant {
			quadrant, ring = b.Quadrant, ""
			e.line("")
			e.line("%s", e.paint(e.Out, bold, string(quadrant)))
		}
		if b.Ring != ring {
			ring = b.Ring
			e.line("  %s", ring)
		}
		e.line("    %3d %s %s", b.Number, map[client.RadarBlipsMovement]string{"added": "+", "in": ">", "out": "<"}[b.Movement], oneLine(b.Title))
	}
	if len(r.Blips) == 0 {
		e.line("There is nothing on it yet: commandcenter technology add TITLE")
	}
}

func (e *env) technologyImport() *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use: "import FILE|-", Short: "Take the CSV of another radar in", Args: nargs(1, 1),
		Long: `Reads the form of Thoughtworks' build-your-own radar: the columns name, ring, quadrant and,
if there, description. What is there under the title gets the ring, the quadrant and
the description of its line; what is not is added. All lines are taken, or none.`,
		Example: "  commandcenter technology import radar.csv --dry-run\n  curl -s https://example.org/radar.csv | commandcenter technology import -",
		RunE: func(cmd *cobra.Command, args []string) error {
			const most = 4 << 20
			in := e.In
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return codedError{err, exitUsage}
				}
				defer func() { _ = f.Close() }() // only read
				in = f
			}
			text, err := io.ReadAll(io.LimitReader(in, most+1))
			if len(text) > most {
				err = fmt.Errorf("%s is larger than %d MiB", args[0], most>>20)
			}
			if err != nil {
				return codedError{err, exitUsage}
			}
			s, err := e.session()
			if err != nil {
				return err
			}
			key := uuid.NewString()
			resp, err := s.ImportRadar(cmd.Context(), &client.ImportRadarParams{IdempotencyKey: &key}, client.RadarImport{Csv: string(text), DryRun: &dryRun})
			done, err := client.Finish[client.RadarImported](cmd.Context(), s, resp, err)
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, done)
				return nil
			}
			for _, x := range done.Items {
				if dryRun || x.Outcome != "unchanged" {
					e.line("%-9s  %s", x.Outcome, oneLine(x.Title))
				}
			}
			would := ""
			if dryRun {
				would = " would be"
			}
			e.line("%d%s added, %d changed, %d unchanged.", done.Added, would, done.Changed, done.Unchanged)
			return nil
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would become of each line")
	return ends(c, codesClient...)
}
