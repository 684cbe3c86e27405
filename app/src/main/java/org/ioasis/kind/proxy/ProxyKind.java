// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.proxy;

import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import org.ioasis.machine.DeviceKeys;
import org.ioasis.machine.DeviceKind;
import org.ioasis.machine.DevicePlace;
import org.ioasis.vfiouser.Isolation;
import org.ioasis.vfiouser.ProxySettings;
import org.jspecify.annotations.Nullable;

/** Devices that somebody else serves. Any thread. */
public final class ProxyKind implements DeviceKind {
    /** Within what QEMU waits for itself, so that it is we who say what happened. */
    private static final int ANSWER_MILLIS = 4000;

    private static final int MILLIS_MAX = 3_600_000;

    private static final String ENFORCED = "enforced";
    private static final String MAPPED = "mapped";

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
                        + " server, listening already. isolation=enforced|mapped: it is given no memory of the guest's, but asks"
                        + " for each access by a message, which is translated and checked (enforced, the usual); or, if you trust"
                        + " it, what is mapped, while it is mapped. reconnect_ms=N: how long a session waits for a server that"
                        + " has gone to come again (0). endpoint=ID, alias=ID: as for --blk. answer_ms=N: how long it may take"
                        + " for an answer (4000).");
    }

    @Override
    public @Nullable Described read(DeviceKeys keys) {
        Path server = keys.requiredPath("to");
        int answerMillis = (int) keys.integer("answer_ms", 1, MILLIS_MAX, ANSWER_MILLIS);
        int reconnectMillis = (int) keys.integer("reconnect_ms", 0, MILLIS_MAX, 0);
        String isolation = keys.string("isolation");
        if (isolation != null && !isolation.equals(ENFORCED) && !isolation.equals(MAPPED)) {
            keys.problem("isolation", "must be %s or %s".formatted(ENFORCED, MAPPED));
        }
        return server == null
                ? null
                : new Source(
                        server,
                        new ProxySettings(
                                MAPPED.equals(isolation) ? Isolation.MAPPED : Isolation.ENFORCED,
                                answerMillis,
                                reconnectMillis));
    }

    private record Source(Path server, ProxySettings settings) implements Described {
        /** Its server may come later than the description. */
        @Override
        public void check(Consumer<String> problem) {}

        @Override
        public ProxyOptions at(DevicePlace place) {
            return new ProxyOptions(place, server, settings);
        }
    }
}
