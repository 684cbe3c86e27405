// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.net;

import java.io.IOException;
import java.nio.file.Path;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;

/** Who is to carry the frames of a network device. Immutable. */
public sealed interface Backend {
    /**
     * Who listens at a socket: passt, or a QEMU's {@code -netdev stream}.
     *
     * @param socket where
     */
    record Stream(Path socket) implements Backend {}

    /**
     * The host's kernel, by a TAP.
     *
     * @param name of the interface
     */
    record Tap(String name) implements Backend {}

    /**
     * Opens the way there.
     *
     * @throws IOException that is not possible; the message says why, and what to do
     */
    default Carrier open() throws IOException {
        try {
            return switch (this) {
                case Stream(Path socket) -> StreamLink.connect(socket);
                case Tap(String name) -> TapLink.open(name);
            };
        } catch (ErrnoException e) {
            throw new IOException(inWords(e), e);
        }
    }

    private String inWords(ErrnoException e) {
        return switch (this) {
            case Stream(Path socket) ->
                    "nobody carries frames at %s: %s".formatted(socket, Errno.words(e.errno()));
            case Tap(String name) ->
                    "tap=%s: %s (%s)".formatted(name, reason(name, e), e.inWords());
        };
    }

    private static String reason(String name, ErrnoException e) {
        boolean isOpening = e.call().equals("open");
        return switch (e.errno()) {
            case Errno.ENOENT, Errno.ENODEV, Errno.ENXIO ->
                    "this host has no TAP devices; load the kernel's module tun";
            case Errno.EACCES, Errno.EPERM ->
                    isOpening
                            ? "this user may not open /dev/net/tun"
                            : "not this user's; as root: ip tuntap add dev %s mode tap user USER"
                                    .formatted(name);
            case Errno.EBUSY -> "somebody else has its end already";
            case Errno.EINVAL -> "there is an interface of that name that is no TAP of one queue";
            default -> "cannot be opened";
        };
    }
}
