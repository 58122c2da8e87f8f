package central

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/nats-io/jwt/v2"
)

// OldRoles are the names of the roles that let their users do other things than this
// rxedge gives them: a fleet that an older one made lacks what came since.
func (f *Folder) OldRoles() ([]string, error) {
	_, acc, err := f.account("SITES")
	if err != nil {
		return nil, err
	}
	keys, err := f.roleKeys()
	if err != nil {
		return nil, err
	}
	var old []string
	for _, scope := range keys {
		have, _ := acc.SigningKeys.GetScope(scope.Key)
		is, err := json.Marshal(have)
		if err != nil {
			return nil, err
		}
		should, err := json.Marshal(scope)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(is, should) {
			old = append(old, scope.Role)
		}
	}
	slices.Sort(old)
	return old, nil
}

// roleKeys are the roles as this rxedge has them, with the keys of this fleet that
// are here.
func (f *Folder) roleKeys() (map[string]*jwt.UserScope, error) {
	out := roles()
	for name, scope := range out {
		kp, err := f.key(name)
		if errors.Is(err, fs.ErrNotExist) { // it is on another machine of the centre
			delete(out, name)
			continue
		}
		if err != nil {
			return nil, err
		}
		if scope.Key, err = kp.PublicKey(); err != nil {
			return nil, fmt.Errorf("the key %s: %w", name, err)
		}
	}
	return out, nil
}

// SignRoles signs the roles anew as this rxedge has them, where they are others, and
// gives them to the hub's servers; keys, sites and revocations stay as they are. A
// server lets go of the sites whose role has changed, and they are back within
// seconds. signed are the names of those that were
// others; reached says how many servers have answered. A hub that starts later reads
// them from the folder.
func (f *Folder) SignRoles(ctx context.Context, hubs []string) (signed []string, reached int, err error) {
	unlock, err := f.lock()
	if err != nil {
		return nil, 0, err
	}
	defer unlock()
	if signed, err = f.signRoles(); err != nil {
		return nil, 0, err
	}
	reached, err = f.pushAccounts(ctx, hubs) // also where nothing is new: one may not have it
	return signed, reached, err
}

// SignRolesHere is SignRoles for a hub that is not started yet.
func (f *Folder) SignRolesHere() (signed []string, err error) {
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return f.signRoles()
}

func (f *Folder) signRoles() ([]string, error) {
	old, err := f.OldRoles()
	if err != nil || len(old) == 0 {
		return nil, err
	}
	_, acc, err := f.account("SITES")
	if err != nil {
		return nil, err
	}
	keys, err := f.roleKeys()
	if err != nil {
		return nil, err
	}
	for _, scope := range keys {
		acc.SigningKeys.AddScopedSigner(scope)
	}
	return old, f.signAccount(acc, "SITES")
}
