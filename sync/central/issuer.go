package central

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"rxedge/sync/durable"
	"rxedge/sync/enroll"
	"rxedge/sync/link"
)

// What a site may do: publish under its own name, read chunks and metadata by
// the name of each, hear that there is something new. {{name()}} is the site.
var sitePublish = []string{
	"tel.{{name()}}.*.*",
	"state.{{name()}}",
	"renew.{{name()}}",
	"$JS.API.DIRECT.GET." + StreamArtefacts + ".art.*",
	"$JS.API.DIRECT.GET." + StreamUpdates + ".upd.>",
}

var siteSubscribe = []string{"_INBOX_{{name()}}.>", "upd.tuf.timestamp"}

// makeIssuer makes operator, accounts and roles.
func (f *Folder) makeIssuer() error {
	made := map[string]nkeys.KeyPair{}
	for name, create := range map[string]func() (nkeys.KeyPair, error){
		keyOperator: nkeys.CreateOperator, keyOperatorSigning: nkeys.CreateOperator,
		keySystem: nkeys.CreateAccount, keySites: nkeys.CreateAccount,
		keyRoleSite: nkeys.CreateAccount, keyRoleClaim: nkeys.CreateAccount, keyRoleCentral: nkeys.CreateAccount,
		keySystemUser: nkeys.CreateUser, keyCentralUser: nkeys.CreateUser,
	} {
		kp, err := create()
		if err != nil {
			return err
		}
		if err := f.saveKey(name, kp); err != nil {
			return err
		}
		made[name] = kp
	}
	pub := func(name string) string { p, _ := made[name].PublicKey(); return p }

	op := jwt.NewOperatorClaims(pub(keyOperator))
	op.Name = f.Name
	op.SigningKeys.Add(pub(keyOperatorSigning))
	op.SystemAccount = pub(keySystem)
	opJWT, err := op.Encode(made[keyOperator])
	if err != nil {
		return err
	}
	if err := durable.Write(f.path("accounts/operator.jwt"), []byte(opJWT)); err != nil {
		return err
	}
	sys := jwt.NewAccountClaims(pub(keySystem))
	sys.Name = "SYS"
	if err := f.signAccount(sys, "SYS"); err != nil {
		return err
	}
	sites := jwt.NewAccountClaims(pub(keySites))
	sites.Name = "SITES"
	sites.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1, MaxAckPending: -1}
	for name, scope := range roles() {
		scope.Key = pub(name)
		sites.SigningKeys.AddScopedSigner(scope)
	}
	return f.signAccount(sites, "SITES")
}

// roles are what the keys that sign users may let them do, by the keys' names.
func roles() map[string]*jwt.UserScope {
	site := jwt.NewUserScope()
	site.Role = "site"
	site.Template.Pub.Allow.Add(sitePublish...)
	site.Template.Sub.Allow.Add(siteSubscribe...)
	site.Template.Subs, site.Template.Payload = 16, 512<<10
	site.Template.AllowedConnectionTypes.Add(jwt.ConnectionTypeStandard, jwt.ConnectionTypeWebsocket)
	claim := jwt.NewUserScope()
	claim.Role = "claim"
	claim.Template.Pub.Allow.Add("enroll.{{name()}}")
	claim.Template.Sub.Allow.Add("_INBOX_claim_{{name()}}.>")
	claim.Template.Subs, claim.Template.Payload = 4, 16<<10
	claim.Template.AllowedConnectionTypes.Add(jwt.ConnectionTypeStandard, jwt.ConnectionTypeWebsocket)
	central := jwt.NewUserScope()
	central.Role = "central"
	central.Template.Pub.Allow.Add(">")
	central.Template.Sub.Allow.Add(">")
	return map[string]*jwt.UserScope{keyRoleSite: site, keyRoleClaim: claim, keyRoleCentral: central}
}

// signAccount validates the claims, signs them and writes them down.
func (f *Folder) signAccount(c *jwt.AccountClaims, name string) error {
	var vr jwt.ValidationResults
	c.Validate(&vr)
	if errs := vr.Errors(); len(errs) > 0 {
		return fmt.Errorf("account %s: %w", name, errs[0])
	}
	kp, err := f.key(keyOperatorSigning)
	if err != nil {
		return err
	}
	token, err := c.Encode(kp)
	if err != nil {
		return err
	}
	return durable.Write(f.path("accounts/"+name+".jwt"), []byte(token))
}

func (f *Folder) account(name string) (string, *jwt.AccountClaims, error) {
	b, err := os.ReadFile(f.path("accounts/" + name + ".jwt"))
	if err != nil {
		return "", nil, err
	}
	token := strings.TrimSpace(string(b))
	c, err := jwt.DecodeAccountClaims(token)
	if err != nil {
		return "", nil, fmt.Errorf("account %s is damaged: %w", name, err)
	}
	return token, c, nil
}

// userJWT for a public key under a role; scoped keys say what it may do.
func (f *Folder) userJWT(public, name, role string, expires time.Time) (string, error) {
	if !nkeys.IsValidPublicUserKey(public) {
		return "", fmt.Errorf("%q is no public key of a user", public)
	}
	if role != keyRoleCentral {
		if err := enroll.CheckSite(name); err != nil {
			return "", err // a wildcard or a dot would widen the template
		}
	}
	kp, err := f.key(role)
	if err != nil {
		return "", err
	}
	acc, err := f.key(keySites)
	if err != nil {
		return "", err
	}
	accPub, err := acc.PublicKey()
	if err != nil {
		return "", err
	}
	u := jwt.NewUserClaims(public)
	u.Name = name
	u.IssuerAccount = accPub
	u.SetScoped(true)
	if !expires.IsZero() {
		u.Expires = expires.Unix()
	}
	return u.Encode(kp)
}

// credentials of the centre itself, made anew for each connection.
func (f *Folder) credentials(system bool) (link.Credentials, error) {
	var c link.Credentials
	name, cn := keyCentralUser, "central"
	if system {
		name, cn = keySystemUser, "central-system"
	}
	kp, err := f.key(name)
	if err != nil {
		return c, err
	}
	seed, err := kp.Seed()
	if err != nil {
		return c, err
	}
	pub, err := kp.PublicKey()
	if err != nil {
		return c, err
	}
	c.Seed = string(seed)
	if system {
		sys, err := f.key(keySystem)
		if err != nil {
			return c, err
		}
		u := jwt.NewUserClaims(pub)
		u.Name = cn
		if c.JWT, err = u.Encode(sys); err != nil {
			return c, err
		}
	} else if c.JWT, err = f.userJWT(pub, cn, keyRoleCentral, time.Time{}); err != nil {
		return c, err
	}
	c.Certificate, c.Key, err = f.issueWithKey(cn, 30*24*time.Hour, false)
	return c, err
}
