// Package access says who may see the fleet page and what they may do there: local
// accounts, sessions, sign-in by OpenID Connect, roles.
package access

import "fmt"

// Role of an account. Each may what those before it may.
type Role string

// Roles.
const (
	Viewer   Role = "viewer"   // sees
	Reviewer Role = "reviewer" // decides on documents, requests and proposals
	Operator Role = "operator" // moves rollouts
	Admin    Role = "admin"    // accounts
)

var ranks = map[Role]int{Viewer: 1, Reviewer: 2, Operator: 3, Admin: 4}

// Roles in ascending order.
func Roles() []Role { return []Role{Viewer, Reviewer, Operator, Admin} }

// May says whether a role may what needs another.
func (r Role) May(needs Role) bool { return ranks[needs] > 0 && ranks[r] >= ranks[needs] }

// ParseRole of a word.
func ParseRole(s string) (Role, error) {
	if ranks[Role(s)] == 0 {
		return "", fmt.Errorf("%q is no role; there are viewer, reviewer, operator and admin", s)
	}
	return Role(s), nil
}
