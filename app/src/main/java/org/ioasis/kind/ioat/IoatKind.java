// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.ioat;

import java.util.List;
import java.util.function.Consumer;
import org.ioasis.machine.DeviceKeys;
import org.ioasis.machine.DeviceKind;
import org.ioasis.machine.DeviceOptions;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.FunctionDevice;
import org.ioasis.machine.FunctionOptions;

/** DMA engines: Intel's I/OAT with one channel. Any thread. */
public final class IoatKind implements DeviceKind {
    @Override
    public String key() {
        return "ioat";
    }

    @Override
    public String usualName() {
        return "ioat";
    }

    @Override
    public String optionLabel() {
        return "SOCKET[,endpoint=ID][,alias=ID]";
    }

    @Override
    public List<String> optionHelp() {
        return List.of(
                "A DMA engine behind the IOMMU (Intel I/OAT, for Linux's ioatdma and for programs"
                        + " that own it by VFIO), which copies from and to wherever its driver says;"
                        + " repeatable. endpoint=ID, alias=ID: as for --blk.");
    }

    @Override
    public Described read(DeviceKeys keys) {
        return new Engine();
    }

    /** One at a place. */
    public static DeviceOptions<FunctionDevice> at(DevicePlace place) {
        return new FunctionOptions(place, port -> new IoatFunction(port.dma(), port.tasks()));
    }

    private record Engine() implements Described {
        @Override
        public void check(Consumer<String> problem) {}

        @Override
        public DeviceOptions<?> at(DevicePlace place) {
            return IoatKind.at(place);
        }
    }
}
