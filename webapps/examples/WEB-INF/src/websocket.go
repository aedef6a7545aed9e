package examples

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
)

// websocketDemo shows its page, or takes over the connection of a browser that
// asks for a WebSocket and sends back what it hears, in capitals.
//
// An application would use a library (any that works with net/http does). This
// one speaks the protocol itself, so that the bundle needs nothing else.
func websocketDemo(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		show(w, r, "/websocket", nil)
		return
	}
	key := r.Header.Get("Sec-WebSocket-Key")
	if r.Header.Get("Sec-WebSocket-Version") != "13" || key == "" || !sameOrigin(r) {
		_ = servlet.SendError(w, r, http.StatusBadRequest, "not a WebSocket handshake from this site")
		return
	}
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		servlet.Fail(w, r, err)
		return
	}
	defer conn.Close()
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455 §1.3
	_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: "+base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
	for err == nil {
		err = answer(conn, buf.Reader)
	}
}

// sameOrigin refuses the pages of other sites, which the browser would let
// connect with the user's cookies.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	_, host, _ := strings.Cut(origin, "://")
	return origin == "" || host == r.Host
}

// Opcodes of frames (RFC 6455 §5.2).
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

const maxMessage = 4096

var errClosed = errors.New("closed")

// answer reads one frame and answers it.
func answer(conn net.Conn, r *bufio.Reader) error {
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return err
	}
	op, payload, err := readFrame(r)
	if err != nil {
		return err
	}
	switch op {
	case opText:
		return writeFrame(conn, opText, []byte(strings.ToUpper(string(payload))))
	case opPing:
		return writeFrame(conn, opPong, payload)
	case opClose:
		return errors.Join(writeFrame(conn, opClose, payload), errClosed)
	}
	return nil
}

// readFrame reads a client's frame, which is masked (RFC 6455 §5.3).
func readFrame(r io.Reader) (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(head[1] & 0x7f)
	if n == 126 {
		var ext [2]byte
		if _, err = io.ReadFull(r, ext[:]); err != nil {
			return 0, nil, err
		}
		n = int(binary.BigEndian.Uint16(ext[:]))
	}
	if head[0]&0x80 == 0 || head[1]&0x80 == 0 || n > maxMessage {
		return 0, nil, errors.New("a frame that is fragmented, unmasked or too long")
	}
	var mask [4]byte
	if _, err = io.ReadFull(r, mask[:]); err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	if _, err = io.ReadFull(r, payload); err != nil {
		return 0, nil, err
	}
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return head[0] & 0x0f, payload, nil
}

func writeFrame(w io.Writer, op byte, payload []byte) error {
	frame := []byte{0x80 | op, byte(len(payload))}
	if len(payload) > 125 {
		frame = binary.BigEndian.AppendUint16([]byte{0x80 | op, 126}, uint16(len(payload)))
	}
	_, err := w.Write(append(frame, payload...))
	return err
}
