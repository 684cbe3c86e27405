// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.lang.foreign.MemorySegment;
import java.util.function.BooleanSupplier;
import org.ioasis.pci.Doorbell;
import org.ioasis.pci.Regions;

/**
 * A doorbell of a device server's, which is told by a message: one that waits says it for all. Loop
 * thread.
 */
final class ToldDoorbell {
    private final Doorbell doorbell;
    private final Regions registers;
    private final BooleanSupplier isThere;
    private final MemorySegment value = MemorySegment.ofArray(new byte[Long.BYTES]);
    private boolean isTold;
    private boolean hasRungSince;

    /**
     * @param registers the device's
     * @param isThere whether there is a server to be told
     */
    ToldDoorbell(Doorbell doorbell, Regions registers, BooleanSupplier isThere) {
        this.doorbell = doorbell;
        this.registers = registers;
        this.isThere = isThere;
        value.set(Codec.U64, 0, doorbell.value());
    }

    void ring() {
        if (isTold) {
            hasRungSince = true;
            return;
        }
        isTold = true;
        registers.write(
                doorbell.region(),
                doorbell.offset(),
                doorbell.size(),
                value,
                0,
                false,
                _ -> {
                    isTold = false;
                    boolean isOwed = hasRungSince;
                    hasRungSince = false;
                    if (isOwed && isThere.getAsBoolean()) {
                        ring();
                    }
                });
    }
}
