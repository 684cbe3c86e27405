// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.jar.sample;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.ioasis.machine.FunctionKind;
import org.ioasis.machine.FunctionPort;
import org.ioasis.pci.PciFunction;
import org.ioasis.pci.SharedMemoryFunction;

/** A kind that needs a file which nobody has. */
public final class LicensedKind implements FunctionKind {
    public LicensedKind() throws IOException {
        if (!Files.exists(Path.of("no", "such", "licence"))) {
            throw new IOException("no licence");
        }
    }

    @Override
    public String kind() {
        return "licensed";
    }

    @Override
    public PciFunction make(FunctionPort port, String options) {
        return new SharedMemoryFunction(4096, 1);
    }
}
