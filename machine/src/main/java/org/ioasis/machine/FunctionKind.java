// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.IOException;
import org.ioasis.pci.PciFunction;

/**
 * A kind of function that a jar brings for {@code ./ioasis serve}, as a provider of this service:
 * by {@code provides} in its module, or a line in {@code
 * META-INF/services/org.ioasis.machine.FunctionKind}. Builder's thread.
 *
 * <p>A provider is made whenever a jar is looked at: when a configuration is checked, whichever of
 * the jar's kinds it names, and again for each device. So its constructor takes nothing that has to
 * be given back.
 */
public interface FunctionKind {
    /** What a configuration calls it: {@code kind = "..."}. */
    String kind();

    /**
     * Makes a function of this kind. One that is {@link java.io.Closeable} is closed at the end.
     *
     * @param options what the configuration says in {@code options = "..."}; empty if nothing
     * @throws IOException something that it needs is not there, or the options are wrong; the
     *     message says what, for people
     */
    PciFunction make(FunctionPort port, String options) throws IOException;
}
