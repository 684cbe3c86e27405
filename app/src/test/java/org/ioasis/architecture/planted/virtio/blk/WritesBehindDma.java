// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture.planted.virtio.blk;

import java.lang.foreign.ValueLayout;
import org.ioasis.memory.Dma;

/** Breaks: memory that a device writes to only through its Dma. */
public final class WritesBehindDma {
    private WritesBehindDma() {}

    public static void use(Dma dma) {
        dma.segment().set(ValueLayout.JAVA_BYTE, dma.offset(), (byte) 1);
    }
}
