// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.proxy;

import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import org.ioasis.machine.DeviceKeys;
import org.ioasis.machine.DeviceKind;
import org.ioasis.machine.DevicePlace;
import org.jspecify.annotations.Nullable;

/** Devices that somebody else serves. Any thread. */
public final class ProxyKind implements DeviceKind {
    /** Within what QEMU waits for itself, so that it is we who say what happened. */
    private static final int ANSWER_MILLIS = 4000;

    private static final int ANSWER_MILLIS_MAX = 3_600_000;

    @Override
    public String key() {
        return "proxy";
    }

    @Override
    public boolean isForPrograms() {
        return false;
    }

    @Override
    public String usualName() {
        return "proxy";
    }

    @Override
    public String optionLabel() {
        return "SOCKET,to=PATH[,KEY=VALUE...]";
    }

    @Override
    public List<String> optionHelp() {
        return List.of(
                "A device that somebody else serves over vfio-user, put behind the IOMMU; repeatable. to=PATH: the socket of its"
                        + " server, listening already. It is given no memory of the guest's: it asks for each access by a message,"
                        + " which is translated and checked. endpoint=ID, alias=ID: as for --blk. answer_ms=N: how long it may"
                        + " take for an answer (4000).");
    }

    @Override
    public @Nullable Described read(DeviceKeys keys) {
        Path server = keys.requiredPath("to");
        int answerMillis = (int) keys.integer("answer_ms", 1, ANSWER_MILLIS_MAX, ANSWER_MILLIS);
        return server == null ? null : new Source(server, answerMillis);
    }

    private record Source(Path server, int answerMillis) implements Described {
        /** Its server may come later than the description. */
        @Override
        public void check(Consumer<String> problem) {}

        @Override
        public ProxyOptions at(DevicePlace place) {
            return new ProxyOptions(place, server, answerMillis);
        }
    }
}
