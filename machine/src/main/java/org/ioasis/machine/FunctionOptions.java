// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.Closeable;
import java.io.IOException;
import org.ioasis.pci.PciFunction;
import org.ioasis.peer.Served;

/**
 * How a function of one's own is built. Immutable.
 *
 * @param maker is called once for each build
 */
public record FunctionOptions(DevicePlace place, FunctionMaker maker)
        implements DeviceOptions<FunctionDevice> {
    @Override
    public FunctionDevice build(DevicePort port) throws IOException {
        PciFunction function = maker.make(port);
        boolean isServed = false;
        try {
            Served server = port.serve(function);
            isServed = true;
            return new FunctionDevice(place.name(), port.endpoint(), function, server);
        } finally {
            if (!isServed && function instanceof Closeable closeable) {
                closeable.close();
            }
        }
    }
}
