// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.IOException;
import org.ioasis.pci.PciFunction;

/**
 * Makes a function of one's own, once for each machine and test that it is in. On the thread of
 * whoever builds that; the function is called by one thread, another one, from then on.
 */
@FunctionalInterface
public interface FunctionMaker {
    /**
     * Makes it. A function that is {@link java.io.Closeable} is closed when its machine is.
     *
     * @throws IOException something that it needs is not there; the message says what, for people
     */
    PciFunction make(FunctionPort port) throws IOException;
}
