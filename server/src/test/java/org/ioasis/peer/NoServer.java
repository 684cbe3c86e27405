// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.nio.file.Path;

/** Whose session a boundary would end, in tests where none may end so. Any thread. */
public final class NoServer implements Served {
    public static final SessionBoundary BOUNDARY = new SessionBoundary(new NoServer());

    private NoServer() {}

    @Override
    public Path path() {
        return Path.of("none");
    }

    @Override
    public boolean hasSession() {
        return false;
    }

    @Override
    public int sessionCount() {
        return 0;
    }

    @Override
    public void endSession(String why) {
        throw new AssertionError(why);
    }

    @Override
    public ServedInfo info() {
        throw new IllegalStateException("nobody asks");
    }

    @Override
    public void close() {}
}
