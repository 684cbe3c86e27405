// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.rng;

import java.util.List;
import java.util.function.Consumer;
import org.ioasis.machine.DeviceKeys;
import org.ioasis.machine.DeviceKind;
import org.ioasis.machine.DevicePlace;

/** Entropy devices. Any thread. */
public final class RngKind implements DeviceKind {
    @Override
    public String key() {
        return "rng";
    }

    @Override
    public String usualName() {
        return "rng";
    }

    @Override
    public String optionLabel() {
        return "SOCKET[,endpoint=ID][,alias=ID][,rogue]";
    }

    @Override
    public List<String> optionHelp() {
        return List.of(
                "An entropy device behind the IOMMU; repeatable. endpoint=ID, alias=ID: as for --blk. rogue: `ioasis rogue` can"
                        + " make it issue accesses that its driver never asked for, to test what stops them.");
    }

    @Override
    public Described read(DeviceKeys keys) {
        return new Source(keys.bool("rogue", false));
    }

    private record Source(boolean isRogue) implements Described {
        @Override
        public void check(Consumer<String> problem) {}

        @Override
        public RngOptions at(DevicePlace place) {
            return new RngOptions(place, isRogue);
        }
    }
}
