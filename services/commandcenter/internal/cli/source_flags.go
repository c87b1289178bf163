package cli

import (
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// sourceFlags are the flags that say something of a source.
func sourceFlags(c *cobra.Command) {
	fs := c.Flags()
	fs.String("name", "", "its name")
	fs.String("schedule", "", `when it is asked: five fields of cron, in UTC ("" as often as fits)`)
	fs.Int("priority", 5, "of its runs, 1 to 10, the highest first")
	fs.String("collection", "", "in which the documents are kept")
	fs.String("category", "", "of the documents")
	fs.Int("technology", 0, "id of the technology that they are about")
	fs.String("language", "", "of the texts, such as en")
	fs.Int("max-items", 0, "that one run takes")
	fs.StringSlice("keyword", nil, "any of which a story of Hacker News names")
	fs.Int("min-points", 0, "that a story of Hacker News has; 0 is 20")
	fs.Int("min-comments", 0, "that a story of Hacker News has")
	fs.StringSlice("pattern", nil, "glob of files of a folder that are read")
	fs.StringSlice("ignore", nil, "glob of files of a folder that are left out")
	fs.Int("max-depth", 0, "links that are followed from the first page of a site")
	fs.Bool("full-text", false, "read the page of each entry of a feed")
	fs.String("username", "", "by which it is asked, with the password in --secret-file")
	fs.String("secret-file", "", "file with the password of --username, or else with a token")
}

// The flags that are fields of a source, and those of its configuration.
var (
	sourceFields = map[string]string{"name": "name", "schedule": "schedule", "priority": "priority"}
	configFields = map[string]string{
		"collection": "collection", "category": "category", "technology": "technology_id", "language": "language", "max-items": "max_items", "max-depth": "max_depth", "keyword": "keywords", "min-points": "min_points", "min-comments": "min_comments", "pattern": "patterns", "ignore": "ignore", "full-text": "full_text",
	}
)

func flagValue(c *cobra.Command, name string) any {
	fs := c.Flags()
	if n, err := fs.GetInt(name); err == nil {
		return n
	}
	if b, err := fs.GetBool(name); err == nil {
		return b
	}
	if l, err := fs.GetStringSlice(name); err == nil {
		return l
	}
	s, _ := fs.GetString(name) // it is one of the four
	return s
}

// saidOfSource is what the flags that were given say, over the configuration that
// there is.
func saidOfSource(c *cobra.Command, config map[string]any) (map[string]any, error) {
	out := map[string]any{}
	for flag, field := range sourceFields {
		if c.Flags().Changed(flag) {
			out[field] = flagValue(c, flag)
		}
	}
	changed := false
	for flag, field := range configFields {
		if c.Flags().Changed(flag) {
			config[field], changed = flagValue(c, flag), true
		}
	}
	if changed {
		out["config"] = config
	}
	username, file := flagValue(c, "username").(string), flagValue(c, "secret-file").(string)
	if file == "" {
		if username != "" {
			return nil, usageError{errors.New("the password of --username is read from --secret-file")}
		}
		return out, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, codedError{err, exitUsage}
	}
	secret := strings.TrimSpace(string(text))
	out["credentials"] = map[string]any{"token": secret}
	if username != "" {
		out["credentials"] = map[string]any{"username": username, "password": secret}
	}
	return out, nil
}
