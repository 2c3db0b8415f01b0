package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/heddle-mesh/heddle/control/token"
)

// keys are what opens the dashboard: the token, links that work once, and the cookies that either is changed for.
type keys struct {
	secret string
	now    func() time.Time

	mu    sync.Mutex
	links map[string]time.Time // until when each works
}

const (
	cookieName = "heddle_session"
	// cookiePath keeps the cookie from servers on other ports of the same host, which browsers do not tell apart: few have anything there. Pages need no cookie.
	cookiePath  = "/api"
	sessionTime = 12 * time.Hour
	linkTime    = time.Hour
	maxLinks    = 64
)

// link makes a secret that logs in once.
func (k *keys) link() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	oldest := ""
	for l, until := range k.links {
		if k.now().After(until) {
			delete(k.links, l)
		} else if oldest == "" || until.Before(k.links[oldest]) {
			oldest = l
		}
	}
	if len(k.links) >= maxLinks {
		delete(k.links, oldest)
	}
	if k.links == nil {
		k.links = map[string]time.Time{}
	}
	l := rand.Text()
	k.links[l] = k.now().Add(linkTime)
	return l
}

// use takes a link away.
func (k *keys) use(link string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	until, ok := k.links[link]
	delete(k.links, link)
	return ok && k.now().Before(until)
}

// session is the value of a cookie: when it ends, and proof that we wrote that. It holds over restarts, and ends when the token changes.
func (k *keys) session(until time.Time) string {
	end := strconv.FormatInt(until.Unix(), 10)
	return end + "." + k.proof(end)
}

func (k *keys) proof(end string) string {
	m := hmac.New(sha256.New, []byte(k.secret))
	m.Write([]byte("dashboard session until " + end))
	return hex.EncodeToString(m.Sum(nil))
}

func (k *keys) holds(session string) bool {
	end, proof, ok := strings.Cut(session, ".")
	if !ok || !hmac.Equal([]byte(proof), []byte(k.proof(end))) {
		return false
	}
	n, err := strconv.ParseInt(end, 10, 64)
	return err == nil && k.now().Before(time.Unix(n, 0))
}

// bearer says whether a request shows the token itself, as programs do.
func (k *keys) bearer(r *http.Request) bool {
	shown, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && token.Equal(strings.TrimSpace(shown), k.secret)
}

func (s *site) loggedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie(cookieName)
		if !s.keys.bearer(r) && (err != nil || !s.keys.holds(c.Value)) {
			rw.Header().Set("WWW-Authenticate", "Bearer")
			fail(rw, http.StatusUnauthorized, "log in first: open the link that heddle dashboard prints, or send heddled's token as Authorization: Bearer TOKEN")
			return
		}
		next.ServeHTTP(rw, r)
	})
}

// redeem changes a link for a cookie, and sends the browser on to an address without it.
func (s *site) redeem(rw http.ResponseWriter, r *http.Request) bool {
	link := r.URL.Query().Get("token")
	if link == "" {
		return false
	}
	to := "/"
	if s.local && s.keys.use(link) {
		s.begin(rw, r)
	} else {
		to = "/login?used" // the page says that a link works once
	}
	http.Redirect(rw, r, to, http.StatusSeeOther)
	return true
}

func (s *site) begin(rw http.ResponseWriter, r *http.Request) {
	until := s.Now().Add(sessionTime)
	s.cookie(rw, r, s.keys.session(until), until)
}

func (s *site) cookie(rw http.ResponseWriter, r *http.Request, value string, until time.Time) {
	http.SetCookie(rw, &http.Cookie{Name: cookieName, Value: value, Path: cookiePath, Expires: until, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"})
}

// login takes the token from the form.
func (s *site) login(rw http.ResponseWriter, r *http.Request) {
	var form struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(rw, r.Body, 4096)).Decode(&form); err != nil {
		fail(rw, http.StatusBadRequest, "send {\"token\": \"...\"}")
		return
	}
	if !token.Equal(strings.TrimSpace(form.Token), s.Token) {
		fail(rw, http.StatusUnauthorized, "this is not the token of heddled's --token-file")
		return
	}
	s.begin(rw, r)
	answer(rw, http.StatusOK, struct{}{})
}

func (s *site) logout(rw http.ResponseWriter, r *http.Request) {
	s.cookie(rw, r, "", time.Unix(1, 0))
	answer(rw, http.StatusOK, struct{}{})
}

// link makes one for who shows the token: the command line.
func (s *site) link(rw http.ResponseWriter, r *http.Request) {
	switch {
	case !s.keys.bearer(r):
		fail(rw, http.StatusForbidden, "a link is made for who shows the token itself")
	case !s.local:
		fail(rw, http.StatusForbidden, "links work on loopback addresses; log in with the token")
	default:
		answer(rw, http.StatusOK, map[string]string{"path": "/?token=" + s.keys.link()})
	}
}
