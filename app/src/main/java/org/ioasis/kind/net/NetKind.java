// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.net;

import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import org.ioasis.machine.DeviceKeys;
import org.ioasis.machine.DeviceKind;
import org.ioasis.machine.DevicePlace;
import org.ioasis.sys.TapDevice;
import org.ioasis.virtio.net.NetSettings;
import org.jspecify.annotations.Nullable;

/** Network devices. Any thread. */
public final class NetKind implements DeviceKind {
    private static final Pattern MAC = Pattern.compile("[0-9a-f][02468ace](:[0-9a-f]{2}){5}");

    /** Administered here and not by who made it (IEEE 802); what follows is the endpoint's id. */
    private static final long LOCAL_MAC = 0x5254_0000_0000L;

    private static final int ENDPOINT_BITS = 0xff_ffff;

    /** Longer frames have buffers of their own size each, and there are many. */
    private static final int MTU_LIMIT = 9000;

    @Override
    public String key() {
        return "net";
    }

    @Override
    public String usualName() {
        return "net";
    }

    @Override
    public String optionLabel() {
        return "SOCKET,stream=PATH|tap=NAME[,KEY=VALUE...]";
    }

    @Override
    public List<String> optionHelp() {
        return List.of(
                "A network device behind the IOMMU; repeatable. endpoint=ID, alias=ID: as for --blk. stream=PATH: the socket"
                        + " of who carries its frames, passt or a QEMU's -netdev stream, listening already; or tap=NAME: the"
                        + " host's interface of that name, which is made if this user may and it is not there."
                        + " mac=52:54:00:12:34:56. mtu=N: 68 to 9000.");
    }

    @Override
    public @Nullable Described read(DeviceKeys keys) {
        Backend backend = backend(keys);
        String text = keys.string("mac");
        long mac = -1;
        if (text != null && MAC.matcher(text).matches()) {
            mac = Long.parseLong(text.replace(":", ""), 16);
        } else if (text != null) {
            keys.problem("mac", "must be the address of one station, as 52:54:00:12:34:56");
        }
        int mtu = (int) keys.integer("mtu", 68, MTU_LIMIT, NetSettings.USUAL_MTU);
        return backend == null ? null : new Card(backend, mac, mtu);
    }

    private static @Nullable Backend backend(DeviceKeys keys) {
        Path stream = keys.path("stream");
        String tap = keys.string("tap");
        if (stream != null && tap != null) {
            keys.problem("tap", "and stream do not go together: one of them carries the frames");
            return null;
        }
        if (stream != null) {
            return new Backend.Stream(stream);
        }
        if (tap == null) {
            keys.problem("stream", "or tap must say who carries the frames");
            return null;
        }
        if (!TapDevice.isName(tap)) {
            keys.problem("tap", "must be the name of an interface, as tap0");
            return null;
        }
        return new Backend.Tap(tap);
    }

    /**
     * A network device as described.
     *
     * @param mac -1 for one that follows from its place
     */
    private record Card(Backend backend, long mac, int mtu) implements Described {
        /** Who carries the frames may come later than the description. */
        @Override
        public void check(Consumer<String> problem) {}

        @Override
        public NicOptions at(DevicePlace place) {
            long address = mac >= 0 ? mac : LOCAL_MAC | (place.endpoint() & ENDPOINT_BITS);
            return new NicOptions(place, backend, new NetSettings(address, mtu));
        }
    }
}
