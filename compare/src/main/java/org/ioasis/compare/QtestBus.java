// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import org.ioasis.pci.VirtioPciTransport;

/** What reaches a PCI function of a machine that is driven by qtest. One thread. */
record QtestBus(QtestClient qtest, PciDevice function) implements VirtioPciTransport.Bus {
    @Override
    public int config(int offset, int size) throws IOException {
        int value = function.config(offset);
        return size == Integer.BYTES ? value : value & ((1 << (8 * size)) - 1);
    }

    @Override
    public long read(int bar, long offset, int size) throws IOException {
        return qtest.read(function.bar(bar) + offset, size);
    }

    @Override
    public void write(int bar, long offset, int size, long value) throws IOException {
        qtest.write(function.bar(bar) + offset, size, value);
    }
}
