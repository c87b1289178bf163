package fetch

import (
	"os/exec"
	"strings"
)

// writeExecutable has a shell write the file, so that this process never has
// it open for writing.
func writeExecutable(path, text string) error {
	cmd := exec.Command("sh", "-c", `cat > "$1" && chmod 700 "$1"`, "sh", path)
	cmd.Stdin = strings.NewReader(text)
	return cmd.Run()
}
