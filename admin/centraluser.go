package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"rxedge/centre/page/access"
)

func (a *app) centralUser(dir *string) *cobra.Command {
	c := &cobra.Command{Use: "user", Short: "The accounts of the fleet page",
		Long: `The accounts of the fleet page. Roles: a viewer sees; a reviewer decides on documents, requests
and proposals too; an operator moves rollouts too; an admin sees the accounts too. Changes of
accounts are in the signed record, where the key that signs is on this machine, and end the
sessions of that account at once.`,
		Example: `  rxedge central user add anna --role operator
  rxedge central user list`, RunE: group}
	c.AddCommand(a.userAdd(dir), a.userList(dir), a.userRemove(dir), a.userPassword(dir), a.userRole(dir))
	return c
}

// password of a person: asked twice on a terminal, else one line of standard input. It is
// never an argument: others see those.
func (a *app) password() (string, error) {
	if f, ok := a.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		ask := func(what string) (string, error) {
			a.note("%s: ", what)
			b, err := term.ReadPassword(int(f.Fd()))
			a.note("\n")
			return string(b), err
		}
		one, err := ask("Password (15 characters or more)")
		if err != nil {
			return "", err
		}
		two, err := ask("The same once more")
		if err != nil {
			return "", err
		}
		if one != two {
			return "", usage("the two passwords are not the same")
		}
		return one, nil
	}
	line, err := bufio.NewReader(io.LimitReader(a.in, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", usage("the password is read from standard input, a line; there was none")
	}
	return line, nil
}

// accounts of the centre, and what is done with them, said and recorded.
func (a *app) accounts(dir *string, name, what string, do func(*access.Accounts) error) error {
	f, err := a.centre(*dir)
	if err != nil {
		return err
	}
	err = do(access.Open(f.Dir))
	var invalid *access.InvalidError
	switch {
	case errors.As(err, &invalid):
		return usage("%w", err)
	case errors.Is(err, access.ErrNoAccount):
		return fmt.Errorf("%w: %w", errNotFound, err)
	case errors.Is(err, access.ErrAccount), errors.Is(err, access.ErrLastAdmin):
		return &refusedError{err.Error()}
	case err != nil:
		return err
	}
	rerr := access.Record(f, whoami(), name, what)
	if rerr != nil {
		a.note("It is done, and not in the signed record: %v\n", rerr)
	}
	if a.json {
		return a.print(map[string]any{"account": name, "done": what, "recorded": rerr == nil})
	}
	a.printf("%s: %s.\n", name, what)
	return nil
}

func (a *app) userAdd(dir *string) *cobra.Command {
	role := string(access.Viewer)
	c := &cobra.Command{Use: "add NAME", Short: "Make an account; the password is asked for, or a line of standard input",
		Example: `  rxedge central user add anna --role operator
  pass show fleet/anna | rxedge central user add anna`, Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			r, err := access.ParseRole(role)
			if err != nil {
				return usage("--role: %w", err)
			}
			if _, err := a.centre(*dir); err != nil {
				return err // before anybody types a password
			}
			word, err := a.password()
			if err != nil {
				return err
			}
			return a.accounts(dir, given[0], "an account was made, "+role, func(x *access.Accounts) error { return x.Add(given[0], word, r) })
		}}
	c.Flags().StringVar(&role, "role", role, "`role`: viewer, reviewer, operator, admin")
	return c
}

func (a *app) userList(dir *string) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the accounts", Example: `  rxedge central user list --json`, Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			all, err := access.Open(f.Dir).List()
			if err != nil {
				return err
			}
			type row struct {
				Name    string      `json:"name"`
				Role    access.Role `json:"role"`
				Created time.Time   `json:"created"`
				Changed time.Time   `json:"changed"`
			}
			list, rows := []row{}, []table.Row{}
			for _, x := range all {
				list = append(list, row{x.Name, x.Role, x.Created, x.Changed})
				rows = append(rows, table.Row{x.Name, x.Role, x.Created.Local().Format(time.DateTime), x.Changed.Local().Format(time.DateTime)})
			}
			if a.json {
				return a.print(list)
			}
			if len(rows) == 0 {
				a.printf("There are no accounts yet; 'rxedge central user add NAME --role admin' makes one.\n")
				return nil
			}
			a.table(table.Row{"name", "role", "made", "changed"}, rows)
			return nil
		}}
}

func (a *app) userRemove(dir *string) *cobra.Command {
	return &cobra.Command{Use: "remove NAME", Short: "Take an account away; its sessions end", Example: `  rxedge central user remove anna`, Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			return a.accounts(dir, given[0], "the account was removed", func(x *access.Accounts) error { return x.Remove(given[0]) })
		}}
}

func (a *app) userPassword(dir *string) *cobra.Command {
	return &cobra.Command{Use: "password NAME", Short: "Give an account another password; its sessions end", Example: `  rxedge central user password anna`, Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			if _, err := access.Open(f.Dir).Get(given[0]); errors.Is(err, access.ErrNoAccount) {
				return fmt.Errorf("%w: %w", errNotFound, err)
			} else if err != nil {
				return err
			}
			word, err := a.password()
			if err != nil {
				return err
			}
			return a.accounts(dir, given[0], "it has another password", func(x *access.Accounts) error { return x.SetPassword(given[0], word) })
		}}
}

func (a *app) userRole(dir *string) *cobra.Command {
	return &cobra.Command{Use: "role NAME ROLE", Short: "Give an account another role; its sessions end", Example: `  rxedge central user role anna reviewer`, Args: args(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, given []string) error {
			r, err := access.ParseRole(given[1])
			if err != nil {
				return usage("%w", err)
			}
			return a.accounts(dir, given[0], "it is "+given[1]+" now", func(x *access.Accounts) error { return x.SetRole(given[0], r) })
		}}
}
