// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.jar.sample;

import java.io.IOException;
import org.ioasis.machine.FunctionKind;
import org.ioasis.machine.FunctionPort;
import org.ioasis.pci.PciFunction;
import org.ioasis.pci.SharedMemoryFunction;

/** Memory as a function, with as many pages as its options say. */
public final class MemoryKind implements FunctionKind {
    @Override
    public String kind() {
        return "memory";
    }

    @Override
    public PciFunction make(FunctionPort port, String options) throws IOException {
        if (!options.matches("[1248]")) {
            throw new IOException("\"" + options + "\" is no number of pages");
        }
        return new SharedMemoryFunction(4096 * Integer.parseInt(options), 1);
    }
}
