"""What all training loops share: epochs and their states, SGD, histories, too little memory."""
