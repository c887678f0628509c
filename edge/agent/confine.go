package agent

import (
	"github.com/spf13/cobra"
)

// needsPower are the commands that change the machine, and keep what root may do.
var needsPower = map[string]bool{"install": true, "uninstall": true}

// Confine is for a program's PersistentPreRunE: before a command begins, the process gives up what it does not need.
// Started by root, it becomes the owner of the directory that the command is about; and what is to serve strangers keeps
// no privilege of any kind. A program that embeds the commands in its own process, as tests do, leaves it out.
func Confine(cmd *cobra.Command, _ []string) error {
	if needsPower[cmd.Name()] {
		return nil
	}
	dir := ""
	if f := cmd.Flags().Lookup("dir"); f != nil {
		dir = f.Value.String()
	}
	return confine(dir, cmd.Name() == "run" || !cmd.HasParent())
}
